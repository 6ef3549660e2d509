import { Anchor, Button, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";

import { queueQuery } from "@/api/queries";
import type { QueueView, TaskView } from "@/api/types";
import { Clip } from "@/components/clip";
import { JobProgress } from "@/components/job-progress";
import { LivePreview } from "@/components/live-preview";
import { Panel } from "@/components/panel";
import { useFailureTexts } from "@/components/use-failure-texts";
import { useDraft } from "@/lib/draft";
import { ratioOf } from "@/lib/task";

/** What runs, or else what came out last. */
function latest(queue: QueueView): TaskView | null {
  const running = queue.tasks.find((task) => task.status === "processing");
  const ended = queue.tasks.filter(
    (task) => task.status === "completed" || task.status === "failed",
  );
  const newest = ended.reduce<TaskView | null>(
    (best, each) =>
      best === null || (each.completed_at ?? "") > (best.completed_at ?? "") ? each : best,
    null,
  );
  return running ?? newest;
}

/** The video at work, and then the video. */
export function Latest() {
  const { t } = useTranslation("generate");
  const said = useFailureTexts();
  const { data: task } = useQuery({ ...queueQuery, select: latest });
  const change = useDraft((store) => store.change);
  if (task === null || task === undefined) return null;
  return (
    <Panel label={t("latest.title")} p="md">
      <Stack gap="sm">
        {task.status === "processing" && (
          <>
            <LivePreview task={task.id} ratio={ratioOf(task)} />
            <JobProgress task={task} />
          </>
        )}
        {task.video_url != null && (
          <Clip
            key={task.id}
            src={task.video_url}
            poster={task.thumbnail_url ?? undefined}
            label={task.prompt}
            ratio={ratioOf(task)}
          />
        )}
        {task.failure && (
          <div role="alert">
            <Text size="sm" fw={600}>
              {said.title(task.failure)}
            </Text>
            <Text size="sm">{task.failure.message}</Text>
          </div>
        )}
        <Text size="sm" c="dimmed" lineClamp={2}>
          {task.prompt}
        </Text>
        <Group justify="space-between">
          {task.seed != null && task.status === "completed" ? (
            <Button
              size="compact-sm"
              variant="default"
              onClick={() => change({ seed: task.seed ?? null })}
            >
              {t("latest.keepSeed", { seed: task.seed })}
            </Button>
          ) : (
            <span />
          )}
          <Anchor
            size="sm"
            component={Link}
            to={task.status === "completed" ? "/gallery" : "/queue"}
          >
            {t(task.status === "completed" ? "latest.gallery" : "latest.queue")}
          </Anchor>
        </Group>
      </Stack>
    </Panel>
  );
}
