import { Text } from "@mantine/core";
import { useTranslation } from "react-i18next";

import { useFormat } from "@/lib/use-format";

import classes from "./plan-panel.module.css";

interface MemoryBarProps {
  label: string;
  /** MiB. */
  used: number;
  whole: number;
}

/** How much of a memory something takes. */
export function MemoryBar({ label, used, whole }: MemoryBarProps) {
  const { t } = useTranslation("generate");
  const format = useFormat();
  const value = t("plan.of", { used: format.memory(used), whole: format.memory(whole) });
  return (
    <div className={classes.row}>
      <Text size="sm" c="dimmed">
        {label}
      </Text>
      <Text size="sm" className="numbers" ta="end">
        {value}
      </Text>
      <div
        role="meter"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={Math.round(whole)}
        aria-valuenow={Math.round(Math.min(used, whole))}
        aria-valuetext={value}
        className={classes.track}
        style={{ gridColumn: "1 / -1" }}
      >
        <span
          className={classes.fill}
          data-over={used > whole || undefined}
          style={{ inlineSize: `${Math.min(100, (used / whole) * 100)}%` }}
        />
      </div>
    </div>
  );
}
