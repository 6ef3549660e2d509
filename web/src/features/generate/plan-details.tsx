import { Button, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import { hardwareQuery, statsQuery } from "@/api/queries";
import type { PlanView } from "@/api/types";
import { useFailureTexts } from "@/components/use-failure-texts";
import { useFormat } from "@/lib/use-format";

import { MemoryBar } from "./memory-bar";

import classes from "./plan-panel.module.css";

type Quality = PlanView["quality"][number];
type Alternative = PlanView["alternatives"][number];

interface PlanDetailsProps {
  plan: PlanView;
  /** Of other settings than those that now stand in the form. */
  stale: boolean;
  count: number;
  change: (patch: Readonly<Record<string, unknown>>) => void;
}

const MIB_PER_GB = 1024;
const MIB = 2 ** 20; // bytes

/** Minutes, memory and downloads of a video, and what else could be had. */
export function PlanDetails({ plan, stale, count, change }: PlanDetailsProps) {
  const { t } = useTranslation("generate");
  const format = useFormat();
  const said = useFailureTexts();
  const { data: stats } = useQuery(statsQuery);
  const free = useQuery(hardwareQuery).data?.free_disk_gb;
  const disk = free === undefined ? undefined : (free * 1e9) / MIB;
  const measured = ({ setting, model, psnr_db, right_percent, exact_right_percent }: Quality) =>
    t("plan.quality", {
      setting,
      model,
      psnr: format.number(psnr_db, 1),
      right: format.number(right_percent, 1),
      exact: format.number(exact_right_percent, 1),
    });
  const words = ({ patch, change: told }: Alternative) =>
    said.change("model_type" in patch ? {} : changesTo(plan, patch)) || told;
  const onGpu = plan.device !== "cpu";
  const hopeless = !onGpu && !plan.model.endsWith("-demo");
  return (
    <Stack gap="sm" className={classes.details} data-stale={stale || undefined} aria-busy={stale}>
      <div role="status" aria-live="polite">
        <Text size="sm" c="dimmed">
          {t("plan.about")}
        </Text>
        <Text className={`${classes.figure ?? ""} numbers`}>
          {format.duration(plan.seconds * count)}
        </Text>
        <Text size="sm" c="dimmed" className="numbers" mt={4}>
          {t("plan.what", {
            size: `${plan.width} × ${plan.height}`,
            frames: plan.frames,
            steps: plan.steps,
          })}
        </Text>
      </div>
      {onGpu && (
        <MemoryBar
          label={t("plan.vram")}
          used={plan.peak_mb}
          whole={stats?.vram_total_mb ?? plan.peak_mb}
        />
      )}
      <MemoryBar
        label={t("plan.ram")}
        used={onGpu ? plan.host_mb : plan.peak_mb}
        whole={stats ? stats.ram_total_gb * MIB_PER_GB : plan.host_mb}
      />
      {plan.download_bytes != null && (
        <>
          {disk !== undefined && (
            <MemoryBar label={t("plan.disk")} used={plan.download_bytes / MIB} whole={disk} />
          )}
          <Text size="sm">{t("plan.download", { size: format.bytes(plan.download_bytes) })}</Text>
        </>
      )}
      {!plan.fits && (
        <Text size="sm" fw={600} c="var(--bad)">
          {t("plan.tooLarge", { size: format.memory(plan.short_mb) })}
        </Text>
      )}
      {hopeless && (
        <Text size="sm" c="var(--warn)">
          {t("plan.noGpu")}
        </Text>
      )}
      {plan.adjustments.map(({ field, reason, used }) => (
        <Text key={field} size="xs" c="dimmed">
          {t("plan.adjusted", { field, used, reason })}
        </Text>
      ))}
      {plan.quality.map((quality) => (
        <Text key={quality.setting} size="xs" c="dimmed">
          {measured(quality)}
        </Text>
      ))}
      {!hopeless && plan.alternatives.length > 0 && (
        <div>
          <Text size="xs" c="dimmed" mb={4}>
            {t(plan.fits ? "plan.quicker" : "plan.instead")}
          </Text>
          <Group gap={6}>
            {plan.alternatives
              .filter((other) => other.fits)
              .map((other) => (
                <Button
                  key={other.change}
                  size="compact-sm"
                  variant={plan.fits ? "default" : "light"}
                  fw={500}
                  title={other.quality.map(measured).join("; ") || undefined}
                  onClick={() => change(other.patch)}
                >
                  {`${words(other)} · ${format.duration(other.seconds)}`}
                </Button>
              ))}
          </Group>
        </div>
      )}
    </Stack>
  );
}

/** What is not so in the plan already. */
function changesTo(plan: PlanView, patch: Readonly<Record<string, unknown>>) {
  const now = new Map<string, unknown>([
    ["resolution", `${plan.width}x${plan.height}`],
    ["frames", plan.frames],
    ["tier", plan.tier],
  ]);
  return Object.fromEntries(
    Object.entries(patch).filter(([name, value]) => value !== now.get(name)),
  );
}
