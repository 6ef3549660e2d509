import { Group, Text } from "@mantine/core";
import { useTranslation } from "react-i18next";

import type { Stats } from "@/api/types";
import { Panel } from "@/components/panel";

import { lineOf, series, type Measure } from "./series";

import classes from "./system.module.css";

const WIDTH = 480;
const HEIGHT = 96;

interface ChartProps {
  measure: Measure;
  /** What is used now, in words. */
  value: string;
  percent: number;
  history: readonly Stats[];
}

/** One measure: how high it is now, and how it was. */
export function Chart({ measure, value, percent, history }: ChartProps) {
  const { t } = useTranslation("system");
  const label = t(`measure.${measure}`);
  const points = series(history, measure);
  const line = lineOf(points, WIDTH, HEIGHT);
  const peak = Math.max(percent, ...points.map((point) => point.percent));
  return (
    <Panel label={label}>
      <Group justify="space-between" wrap="nowrap">
        <Text size="sm" c="dimmed">
          {label}
        </Text>
        <Text size="sm" className="numbers">
          {value}
        </Text>
      </Group>
      <Text className={`${classes.figure} numbers`}>
        {t("percent", { percent: Math.round(percent) })}
      </Text>
      <svg
        role="img"
        aria-label={t("chart", { measure: label, percent: Math.round(peak) })}
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        className={classes.chart}
      >
        {[0.25, 0.5, 0.75].map((height) => (
          <line key={height} x2={WIDTH} y1={height * HEIGHT} y2={height * HEIGHT} />
        ))}
        {line !== "" && (
          <>
            <path className={classes.area} d={`${line}V${HEIGHT}H0Z`} />
            <path className={classes.line} d={line} />
          </>
        )}
      </svg>
    </Panel>
  );
}
