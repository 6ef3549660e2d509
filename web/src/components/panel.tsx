import { Paper, type PaperProps } from "@mantine/core";
import type { ReactNode } from "react";

import classes from "./panel.module.css";

interface PanelProps extends PaperProps {
  children: ReactNode;
  /** What screen readers call it, unless it is all that stands under a heading, which does that. */
  label?: string;
  id?: string;
}

/** A surface that holds one thing. */
export function Panel({ children, label, className, ...rest }: PanelProps) {
  return (
    <Paper
      component="section"
      aria-label={label}
      p="lg"
      {...rest}
      className={[classes.panel, className].filter(Boolean).join(" ")}
    >
      {children}
    </Paper>
  );
}
