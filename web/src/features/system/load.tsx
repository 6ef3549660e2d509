import { Group, SegmentedControl, SimpleGrid, Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import { statsQuery } from "@/api/queries";
import type { Stats } from "@/api/types";
import { QueryView } from "@/components/query-view";
import { useTopic } from "@/lib/live";
import { useFormat } from "@/lib/use-format";

import { Chart } from "./chart";
import { historyQuery } from "./use-system";

const HOURS = ["0.16", "1", "24"] as const;

/** What the computer does, second by second, and what it did. */
export function Load() {
  const { t } = useTranslation("system");
  const [hours, setHours] = useState<string>("0.16");
  const stats = useQuery(statsQuery);
  useTopic("system_stats");
  return (
    <Stack gap="sm">
      <Group justify="end">
        <SegmentedControl
          size="xs"
          aria-label={t("span.label")}
          value={hours}
          onChange={setHours}
          data={HOURS.map((value, place) => ({
            value,
            label: t(`span.${(["minutes", "hour", "day"] as const)[place] ?? "day"}`),
          }))}
        />
      </Group>
      <QueryView query={stats}>{(now) => <Charts now={now} hours={Number(hours)} />}</QueryView>
    </Stack>
  );
}

function Charts({ now, hours }: { now: Stats; hours: number }) {
  const { t } = useTranslation("system");
  const format = useFormat();
  const hasGpu = now.vram_total_mb > 0;
  const past = useQuery(historyQuery(hours)).data?.stats ?? [];
  const history = [...past.filter((sample) => sample.timestamp < now.timestamp), now];
  const of = (used: number, whole: number) =>
    t("of", { used: format.memory(used), whole: format.memory(whole) });
  return (
    <SimpleGrid cols={{ base: 1, sm: hasGpu ? 2 : 3, xl: hasGpu ? 5 : 3 }}>
      {hasGpu && (
        <>
          <Chart
            measure="gpu_percent"
            value={now.gpu_celsius == null ? "" : t("celsius", { degrees: now.gpu_celsius })}
            percent={now.gpu_percent}
            history={history}
          />
          <Chart
            measure="vram_percent"
            value={of(now.vram_used_mb, now.vram_total_mb)}
            percent={now.vram_percent}
            history={history}
          />
        </>
      )}
      <Chart measure="cpu_percent" value="" percent={now.cpu_percent} history={history} />
      <Chart
        measure="ram_percent"
        value={of(now.ram_used_gb * 1024, now.ram_total_gb * 1024)}
        percent={now.ram_percent}
        history={history}
      />
      <Chart
        measure="disk_percent"
        value={of(now.disk_used_gb * 1024, now.disk_total_gb * 1024)}
        percent={now.disk_percent}
        history={history}
      />
    </SimpleGrid>
  );
}
