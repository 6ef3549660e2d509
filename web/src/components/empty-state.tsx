import { Stack, Text, Title } from "@mantine/core";
import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";

import classes from "./empty-state.module.css";

interface EmptyStateProps {
  icon: LucideIcon;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}

/** What stands where there is nothing yet, and how something gets there. */
export function EmptyState({ icon: Icon, title, children, action }: EmptyStateProps) {
  return (
    <Stack align="center" gap="xs" className={classes.empty}>
      <span className={classes.icon}>
        <Icon size={28} strokeWidth={1.6} aria-hidden />
      </span>
      <Title order={2}>{title}</Title>
      {children !== undefined && (
        <Text c="dimmed" maw="46ch" ta="center">
          {children}
        </Text>
      )}
      {action}
    </Stack>
  );
}
