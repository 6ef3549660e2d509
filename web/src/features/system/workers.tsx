import { Anchor, Badge, Button, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Undo2, X } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { WorkerInfo } from "@/api/types";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { Panel } from "@/components/panel";
import { ProblemNote } from "@/components/problem-note";
import { QueryView } from "@/components/query-view";
import { useFormat } from "@/lib/use-format";

import { useRemoveWorker, useReturnWorker, workersQuery } from "./use-system";

const COLOURS: Record<string, string> = {
  idle: "teal",
  busy: "blue",
  lent: "blue",
  out: "red",
  waiting: "yellow",
  stopped: "red",
};

/** Who makes videos here: what each does, has loaded and takes, and why one does not work. */
export function Workers() {
  const { t } = useTranslation("system");
  const workers = useQuery(workersQuery);
  return (
    <QueryView query={workers}>
      {(data) => (
        <Stack gap="sm">
          {data.workers.length === 0 && <Text c="dimmed">{t("workers.none")}</Text>}
          {data.workers.map((worker) => (
            <OneWorker key={worker.name} worker={worker} />
          ))}
        </Stack>
      )}
    </QueryView>
  );
}

function OneWorker({ worker }: { worker: WorkerInfo }) {
  const { t } = useTranslation("system");
  const { name, state, problem, task_id: job } = worker;
  return (
    <Panel label={name}>
      <Group justify="space-between" gap="xs">
        <Group gap="xs">
          <Text fw={600}>{name}</Text>
          <Badge color={COLOURS[state] ?? "gray"}>{t(`workers.state.${state}`, state)}</Badge>
          {job != null && (
            <Anchor component={Link} to="/queue" size="sm">
              {t("workers.job", { id: job.slice(0, 8) })}
            </Anchor>
          )}
        </Group>
        <Actions worker={worker} />
      </Group>
      <About worker={worker} />
      {problem != null && (
        <Text size="sm" c="red" lang="en" mt={4}>
          {problem}
        </Text>
      )}
    </Panel>
  );
}

function About({ worker }: { worker: WorkerInfo }) {
  const { t } = useTranslation("system");
  const format = useFormat();
  const { devices, loaded, models, memory_limit_gb: limit, restarts, pace } = worker;
  const { ram_mb: ram, vram_mb: vram, peak_vram_mb: peak } = worker;
  const said = [
    devices.length > 1 ? t("workers.group", { devices: devices.join(", ") }) : null,
    loaded.length > 0 ? t("workers.loaded", { models: loaded.join(", ") }) : t("workers.empty"),
    models.length > 0 ? t("workers.takes", { models: models.join(", ") }) : null,
    limit == null ? null : t("workers.limit", { memory: format.memory(limit * 1024) }),
    vram == null || peak == null
      ? null
      : t("workers.vram", { memory: format.memory(vram), peak: format.memory(peak) }),
    ram == null ? null : t("workers.ram", { memory: format.memory(ram) }),
    pace == null ? null : t("workers.pace", { times: format.number(pace) }),
    restarts > 0 ? t("workers.restarts", { count: restarts }) : null,
  ];
  return (
    <Text size="sm" c="dimmed" className="numbers">
      {said.filter((part) => part !== null).join(" · ")}
    </Text>
  );
}

function Actions({ worker: { name, state } }: { worker: WorkerInfo }) {
  const { t } = useTranslation("system");
  const [asking, setAsking] = useState(false);
  const back = useReturnWorker();
  const remove = useRemoveWorker();
  if (state === "leaving" || state === "stopped") return null;
  return (
    <Group gap="xs">
      {(state === "out" || state === "waiting") && (
        <Button
          size="xs"
          variant="default"
          leftSection={<Undo2 size={14} aria-hidden />}
          loading={back.isPending}
          onClick={() => back.mutate(name)}
        >
          {t("workers.return")}
        </Button>
      )}
      <Button
        size="xs"
        variant="subtle"
        color="gray"
        leftSection={<X size={14} aria-hidden />}
        aria-label={t("workers.removeThis", { name })}
        onClick={() => setAsking(true)}
      >
        {t("workers.remove")}
      </Button>
      {back.error && <ProblemNote error={back.error} />}
      {asking && (
        <ConfirmDialog
          title={t("workers.removeThis", { name })}
          deed={t("workers.remove")}
          busy={remove.isPending}
          error={remove.error}
          onClose={() => setAsking(false)}
          onConfirm={() => remove.mutate(name, { onSuccess: () => setAsking(false) })}
        >
          <Text size="sm">{t("workers.removeAbout")}</Text>
        </ConfirmDialog>
      )}
    </Group>
  );
}
