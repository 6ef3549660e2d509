import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ListVideo, Pause, Play } from "lucide-react";
import { useTranslation } from "react-i18next";

import { queueQuery } from "@/api/queries";
import type { QueueView } from "@/api/types";
import { EmptyState } from "@/components/empty-state";
import { Page } from "@/components/page";
import { QueryView } from "@/components/query-view";
import { Section } from "@/components/section";
import { useShortcuts } from "@/lib/shortcuts";

import { EndedList } from "./ended-list";
import { FailedCard } from "./failed-card";
import { groupsOf } from "./groups";
import { RunningCard } from "./running-card";

import { usePause } from "./use-queue";
import { WaitingList } from "./waiting-list";

/** What runs, what waits, what went wrong, what is done. */
export function QueuePage() {
  const { t } = useTranslation("queue");
  const queue = useQuery(queueQuery);
  const pause = usePause();
  const paused = queue.data?.paused ?? false;
  useShortcuts(t("title"), [
    { keys: "p", label: t(paused ? "resume" : "pause"), run: () => pause.mutate(!paused) },
  ]);
  return (
    <Page
      title={t("title")}
      about={t("about")}
      actions={
        <Button
          variant={paused ? "filled" : "default"}
          leftSection={paused ? <Play size={16} aria-hidden /> : <Pause size={16} aria-hidden />}
          loading={pause.isPending}
          disabled={queue.data === undefined}
          onClick={() => pause.mutate(!paused)}
        >
          {t(paused ? "resume" : "pause")}
        </Button>
      }
    >
      <QueryView query={queue}>{(data) => <Jobs queue={data} />}</QueryView>
    </Page>
  );
}

function Jobs({ queue }: { queue: QueueView }) {
  const { t } = useTranslation("queue");
  const { running, waiting, failed, ended } = groupsOf(queue);
  if (queue.tasks.length === 0) {
    return (
      <EmptyState
        icon={ListVideo}
        title={t("empty.title")}
        action={
          <Button component={Link} to="/" mt="sm">
            {t("empty.action")}
          </Button>
        }
      >
        {t("empty.text")}
      </EmptyState>
    );
  }
  return (
    <>
      {running.length > 0 && (
        <Section title={t("running")}>
          {running.map((task) => (
            <RunningCard key={task.id} task={task} />
          ))}
        </Section>
      )}
      {waiting.length > 0 && (
        <Section
          title={t("waiting", { count: waiting.length })}
          note={queue.paused ? t("paused") : undefined}
        >
          <WaitingList tasks={waiting} />
        </Section>
      )}
      {failed.length > 0 && (
        <Section title={t("failed")}>
          {failed.map((task) => (
            <FailedCard key={task.id} task={task} />
          ))}
        </Section>
      )}
      {ended.length > 0 && (
        <Section title={t("ended")}>
          <EndedList tasks={ended} />
        </Section>
      )}
    </>
  );
}
