import { Group, List, Stack, Text } from "@mantine/core";
import { CircleCheck, CircleX } from "lucide-react";
import { useTranslation } from "react-i18next";

import type { Check, Diagnostics, HardwareProfile } from "@/api/types";
import { Facts } from "@/components/facts";
import { Panel } from "@/components/panel";
import { useFormat } from "@/lib/use-format";

import classes from "./system.module.css";

/** Whether everything is as it should be; what is not comes first. */
export function Checks({ checks }: { checks: readonly Check[] }) {
  const { t } = useTranslation("system");
  const sorted = checks.toSorted((a, b) => Number(a.ok) - Number(b.ok));
  return (
    <Panel>
      <Stack gap="sm" component="ul" className={classes.checks}>
        {sorted.map(({ name, ok, detail }) => (
          <Group key={name} component="li" gap="sm" wrap="nowrap" align="start">
            {ok ? (
              <CircleCheck size={18} color="var(--good)" aria-label={t("checks.good")} />
            ) : (
              <CircleX size={18} color="var(--bad)" aria-label={t("checks.bad")} />
            )}
            <div lang="en">
              <Text size="sm" fw={600}>
                {name}
              </Text>
              <Text size="sm" c="dimmed">
                {detail}
              </Text>
            </div>
          </Group>
        ))}
      </Stack>
    </Panel>
  );
}

/** What the computer is, and what it is good for. */
export function Hardware({ hardware }: { hardware: HardwareProfile }) {
  const { t } = useTranslation("system");
  const format = useFormat();
  const of = (free: number, whole: number) =>
    t("gpu.free", { free: format.memory(free * 1024), whole: format.memory(whole * 1024) });
  const rows: [string, string | null][] = [
    [
      t("hardware.cpu"),
      t("hardware.cores", { cpu: hardware.cpu_model, count: hardware.cpu_cores }),
    ],
    [t("hardware.ram"), of(hardware.available_memory_gb, hardware.total_memory_gb)],
    [t("hardware.gpu"), hardware.gpu_model ?? null],
    [
      t("hardware.vram"),
      hardware.gpu_model == null ? null : of(hardware.free_vram_gb, hardware.vram_gb),
    ],
    [t("hardware.disk"), format.bytes(hardware.free_disk_gb * 1e9)],
    [t("hardware.platform"), hardware.platform_info],
    [t("hardware.rates"), hardware.rates],
  ];
  return (
    <Panel>
      <Facts rows={rows} />
      {hardware.optimization_recommendations.length > 0 && (
        <List size="sm" mt="md" lang="en">
          {hardware.optimization_recommendations.map((text) => (
            <List.Item key={text}>{text}</List.Item>
          ))}
        </List>
      )}
    </Panel>
  );
}

export function Versions({ versions }: { versions: Diagnostics["versions"] }) {
  return (
    <Panel>
      <Facts rows={Object.entries(versions)} />
    </Panel>
  );
}
