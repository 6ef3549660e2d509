import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import type { Performance } from "@/api/types";
import { Facts } from "@/components/facts";
import { useFormat } from "@/lib/use-format";

import { performanceQuery } from "./use-models";

/** How a model did on this computer; nothing, as long as it made no video here. */
export function Measured({ id }: { id: string }) {
  const measured = useQuery(performanceQuery(id)).data;
  return measured === undefined || measured.runs === 0 ? null : <Figures of={measured} />;
}

function Figures({ of }: { of: Performance }) {
  const { t } = useTranslation("models");
  const format = useFormat();
  const rows: [string, string | null][] = [
    [t("measured.mean"), of.mean_seconds == null ? null : format.duration(of.mean_seconds)],
    [t("measured.step"), of.seconds_per_step == null ? null : format.duration(of.seconds_per_step)],
    [
      t("measured.success"),
      of.success_rate == null
        ? null
        : t("measured.share", { part: of.succeeded, whole: of.succeeded + of.failed }),
    ],
    [t("measured.vram"), of.peak_vram_mb == null ? null : format.memory(of.peak_vram_mb)],
    [t("measured.ram"), of.peak_ram_mb == null ? null : format.memory(of.peak_ram_mb)],
  ];
  return (
    <div>
      <Text size="sm" fw={600} mb={4}>
        {t("measured.title", { count: of.runs })}
      </Text>
      <Facts rows={rows} />
    </div>
  );
}
