import { Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import type { Performance } from "@/api/types";
import { useFormat } from "@/lib/use-format";

import { speedsQuery } from "./use-system";

/** What was measured here, by model: from the videos themselves. */
export function Speeds() {
  const { t } = useTranslation("system");
  const speeds = useQuery(speedsQuery);
  return (
    <QueryView query={speeds}>
      {({ models }) => {
        const used = Object.values(models).filter(({ runs }) => runs > 0);
        return (
          <Panel label={t("speeds.title")}>
            {used.length === 0 ? <Text size="sm">{t("speeds.none")}</Text> : <Rows of={used} />}
          </Panel>
        );
      }}
    </QueryView>
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
