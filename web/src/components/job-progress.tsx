import { Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import { liveQuery } from "@/api/queries";
import type { Detail, TaskView } from "@/api/types";
import { FilmProgress } from "@/components/film-progress";
import { clock } from "@/lib/format";
import { useTopic } from "@/lib/live";
import { useCountdown } from "@/lib/use-countdown";
import { useFormat } from "@/lib/use-format";
import { useNow } from "@/lib/use-now";

const PHASES = ["download", "load", "encode", "denoise", "decode", "write"] as const;
type Phase = (typeof PHASES)[number];
const MIB = 2 ** 20;

function phaseOf(task: TaskView): Phase | "waiting" {
  return PHASES.find((phase) => phase === task.phase) ?? "waiting";
}

/** How far a running job is: phase, step, time passed and left, speed, memory. */
export function JobProgress({ task }: { task: TaskView }) {
  const { t } = useTranslation("common");
  const format = useFormat();
  const now = useNow();
  useTopic("generation_progress");
  const { data: live } = useQuery(liveQuery(task.id));
  const left = useCountdown(task.eta_seconds);
  const phase = phaseOf(task);
  const { detail } = live ?? {};
  const passed = task.started_at ? (now - Date.parse(task.started_at)) / 1000 : 0;
  const memoryOf = ({ vram_bytes: vram, ram_bytes: ram }: Detail) => {
    if (vram != null) return t("vram", { memory: format.memory(vram / MIB) });
    return ram != null && t("ram", { memory: format.memory(ram / MIB) });
  };
  const facts = [
    task.step != null &&
      task.step_count != null &&
      t("step", { step: task.step, steps: task.step_count }),
    task.seconds_per_step != null && t("perStep", { time: format.duration(task.seconds_per_step) }),
    detail?.expert != null && phase === "denoise" && t("expert", { name: detail.expert }),
    detail && memoryOf(detail),
    phase === "download" &&
      detail?.total_bytes != null &&
      t("received", {
        part: format.bytes(detail.received_bytes ?? 0),
        whole: format.bytes(detail.total_bytes),
      }),
  ].filter((fact) => typeof fact === "string");
  return (
    <Stack gap={6}>
      <Group justify="space-between" gap="xs" wrap="nowrap">
        <Text size="sm" fw={600}>
          {t(`phase.${phase}`)}
        </Text>
        <Text size="sm" className="numbers" c="dimmed">
          {clock(passed)}
          {left !== null && ` · ${t("left", { time: format.duration(Math.round(left)) })}`}
        </Text>
      </Group>
      <FilmProgress
        label={t("progressOf", { prompt: task.prompt })}
        percent={task.progress}
        step={task.step ?? undefined}
        steps={task.step_count ?? undefined}
        waiting={phase === "waiting" || phase === "load"}
      />
      <Text size="xs" c="dimmed" className="numbers">
        {facts.length > 0 ? facts.join(" · ") : t("percent", { percent: task.progress })}
      </Text>
    </Stack>
  );
}
