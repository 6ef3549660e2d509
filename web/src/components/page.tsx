import { Group, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";

import classes from "./page.module.css";

interface PageProps {
  title: string;
  about?: string | undefined;
  actions?: ReactNode;
  children: ReactNode;
  /** As wide as the window, for what fills it. */
  wide?: boolean;
}

/** The frame of every page: one heading, what can be done, and the rest. */
export function Page({ title, about, actions, children, wide = false }: PageProps) {
  return (
    <Stack className={classes.page} data-wide={wide || undefined} gap="lg">
      <Group justify="space-between" align="end" gap="sm">
        <div>
          <Title order={1}>{title}</Title>
          {about !== undefined && (
            <Text c="dimmed" mt={4} maw="60ch">
              {about}
            </Text>
          )}
        </div>
        {actions !== undefined && <Group gap="xs">{actions}</Group>}
      </Group>
      {children}
    </Stack>
  );
}
