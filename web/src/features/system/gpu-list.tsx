import { Badge, Button, Group, List, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { MemoryStick } from "lucide-react";
import { useTranslation } from "react-i18next";

import type { GpuView } from "@/api/types";
import { Panel } from "@/components/panel";
import { ProblemNote } from "@/components/problem-note";
import { QueryView } from "@/components/query-view";
import { useFormat } from "@/lib/use-format";

import { gpusQuery, useRelease } from "./use-system";

/** The GPUs, who holds their memory, and a way to have it back. */
export function GpuList() {
  const { t } = useTranslation("system");
  const gpus = useQuery(gpusQuery);
  const release = useRelease();
  return (
    <QueryView query={gpus}>
      {(data) => (
        <Stack gap="sm">
          {data.gpus.length === 0 && <Text c="dimmed">{t("gpu.none")}</Text>}
          {data.gpus.map((gpu) => (
            <Gpu key={gpu.index} gpu={gpu} used={gpu.name === data.used} />
          ))}
          {data.notes.map((note) => (
            <Text key={note} size="sm" c="dimmed" lang="en">
              {note}
            </Text>
          ))}
          {release.error && <ProblemNote error={release.error} />}
          {data.gpus.length > 0 && (
            <Group gap="sm">
              <Button
                variant="default"
                leftSection={<MemoryStick size={16} aria-hidden />}
                loading={release.isPending}
                onClick={() => release.mutate()}
              >
                {t("gpu.release")}
              </Button>
              <Text size="sm" c="dimmed" role="status">
                {release.data ? t("gpu.released", { count: release.data.workers }) : t("gpu.about")}
              </Text>
            </Group>
          )}
        </Stack>
      )}
    </QueryView>
  );
}

function Gpu({ gpu, used }: { gpu: GpuView; used: boolean }) {
  const { t } = useTranslation("system");
  const format = useFormat();
  const facts = [
    t("gpu.free", { free: format.memory(gpu.free_mb), whole: format.memory(gpu.total_mb) }),
    gpu.busy_percent == null ? null : t("gpu.busy", { percent: gpu.busy_percent }),
    gpu.celsius == null ? null : t("celsius", { degrees: gpu.celsius }),
    gpu.driver == null ? null : t("gpu.driver", { version: gpu.driver }),
    gpu.compute_capability == null ? null : t("gpu.cc", { version: gpu.compute_capability }),
  ];
  return (
    <Panel label={gpu.name}>
      <Group gap="xs">
        <Text fw={600}>{gpu.name}</Text>
        {used && <Badge color="teal">{t("gpu.used")}</Badge>}
        {!gpu.supported && <Badge color="red">{t("gpu.unsupported")}</Badge>}
      </Group>
      <Text size="sm" c="dimmed" className="numbers">
        {facts.filter((fact) => fact !== null).join(" · ")}
      </Text>
      {gpu.users.length > 0 && (
        <List size="sm" mt="xs">
          {gpu.users.map(({ pid, name, mb }) => (
            <List.Item key={pid}>
              {[name ?? t("gpu.process", { pid }), mb == null ? null : format.memory(mb)]
                .filter((part) => part !== null)
                .join(" · ")}
            </List.Item>
          ))}
        </List>
      )}
    </Panel>
  );
}
