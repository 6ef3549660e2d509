import { Button, Group, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Timer } from "lucide-react";
import { useTranslation } from "react-i18next";

import { hardwareQuery } from "@/api/queries";
import { Panel } from "@/components/panel";
import { ProblemNote } from "@/components/problem-note";
import { QueryView } from "@/components/query-view";
import type { Performance } from "@/api/types";
import { useFormat } from "@/lib/use-format";

import { speedsQuery, useCalibrate } from "./use-system";

/** What was measured here, by model: from the videos themselves. */
export function Speeds() {
  const { t } = useTranslation("system");
  const speeds = useQuery(speedsQuery);
  return (
    <QueryView query={speeds}>
      {({ models }) => {
        const used = Object.values(models).filter(({ runs }) => runs > 0);
        return (
          <Panel>
            <Rates />
            {used.length === 0 ? <Text size="sm">{t("speeds.none")}</Text> : <Rows of={used} />}
          </Panel>
        );
      }}
    </QueryView>
  );
}

/** What the times of plans rest on, and how to have it measured. */
function Rates() {
  const { t } = useTranslation("system");
  const rates = useQuery(hardwareQuery).data?.rates;
  const calibrate = useCalibrate();
  return (
    <>
      <Group justify="space-between" mb="sm">
        <Text size="sm" role="status">
          {t("speeds.rates")} <span lang="en">{rates ?? "…"}</span>
          {calibrate.isSuccess && ` · ${t("speeds.measuring")}`}
        </Text>
        <Button
          size="xs"
          variant="default"
          leftSection={<Timer size={14} aria-hidden />}
          loading={calibrate.isPending}
          onClick={() => calibrate.mutate()}
        >
          {t("speeds.measure")}
        </Button>
      </Group>
      {calibrate.error && <ProblemNote error={calibrate.error} />}
    </>
  );
}

function Rows({ of }: { of: readonly Performance[] }) {
  const { t } = useTranslation("system");
  const format = useFormat();
  const or = (value: number | null | undefined, show: (value: number) => string) =>
    value == null ? "–" : show(value);
  return (
    <Table.ScrollContainer minWidth={520}>
      <Table className="numbers">
        <Table.Thead>
          <Table.Tr>
            {(["model", "runs", "mean", "step", "vram", "ram"] as const).map((name) => (
              <Table.Th key={name}>{t(`speeds.${name}`)}</Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {of.map((model) => (
            <Table.Tr key={model.model_id}>
              <Table.Td>{model.model_id}</Table.Td>
              <Table.Td>{`${model.succeeded} / ${model.runs}`}</Table.Td>
              <Table.Td>{or(model.mean_seconds, format.duration)}</Table.Td>
              <Table.Td>{or(model.seconds_per_step, format.duration)}</Table.Td>
              <Table.Td>{or(model.peak_vram_mb, format.memory)}</Table.Td>
              <Table.Td>{or(model.peak_ram_mb, format.memory)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
