import { Stack, Text } from "@mantine/core";
import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";

import classes from "./welcome.module.css";

interface StepCardProps {
  icon: LucideIcon;
  title: string;
  children: ReactNode;
  action?: ReactNode;
}

/** One of the first steps. */
export function StepCard({ icon: Icon, title, children, action }: StepCardProps) {
  return (
    <Stack gap={6} className={classes.step}>
      <Icon size={20} strokeWidth={1.7} color="var(--accent)" aria-hidden />
      <Text fw={650}>{title}</Text>
      {children}
      {action !== undefined && <div className={classes.action}>{action}</div>}
    </Stack>
  );
}
