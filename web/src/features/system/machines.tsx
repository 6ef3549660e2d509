import { Badge, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import type { MachineView } from "@/api/types";
import { Panel } from "@/components/panel";
import { Section } from "@/components/section";
import { useFormat } from "@/lib/use-format";

import { machinesQuery } from "./use-system";

/** All machines that work on the queue; nothing where one server has it to itself. */
export function Machines() {
  const { t } = useTranslation("system");
  const machines = useQuery(machinesQuery).data?.nodes ?? [];
  if (machines.length === 0) return null;
  return (
    <Section title={t("machines.title")}>
      <Stack gap="sm">
        {machines.map((machine) => (
          <Machine key={machine.id} machine={machine} />
        ))}
      </Stack>
    </Section>
  );
}

function Machine({ machine }: { machine: MachineView }) {
  const { t } = useTranslation("system");
  const format = useFormat();
  const { host, kind, here, version, gpus, workers, available_memory_gb: memory } = machine;
  return (
    <Panel label={host}>
      <Group gap="xs">
        <Text fw={600}>{host}</Text>
        <Badge color="gray">{t(`machines.${kind}`)}</Badge>
        {here && <Badge color="teal">{t("machines.here")}</Badge>}
      </Group>
      <Text size="sm" c="dimmed" className="numbers">
        {[
          t("machines.memory", { free: format.memory(memory * 1024) }),
          ...gpus.map((gpu) =>
            t("machines.gpu", {
              name: gpu.name,
              free: format.memory(gpu.free_mb),
              whole: format.memory(gpu.total_mb),
            }),
          ),
          t("machines.version", { version }),
        ].join(" · ")}
      </Text>
      {workers.map(({ name, state, problem }) => (
        <Text key={name} size="sm" mt={4}>
          {name} · {t(`workers.state.${state}`, state)}
          {problem != null && (
            <Text span c="red" lang="en">
              {` · ${problem}`}
            </Text>
          )}
        </Text>
      ))}
    </Panel>
  );
}
