import { Button, Group, Stack, Text } from "@mantine/core";
import { Copy, X } from "lucide-react";
import { useTranslation } from "react-i18next";

import type { TaskView } from "@/api/types";
import { JobProgress } from "@/components/job-progress";
import { LivePreview } from "@/components/live-preview";
import { Panel } from "@/components/panel";
import { ProblemNote } from "@/components/problem-note";
import { ratioOf } from "@/lib/task";

import { TaskFacts } from "./task-facts";
import { useDeed, useRerun } from "./use-queue";

import classes from "./queue.module.css";

/** A video at work. */
export function RunningCard({ task }: { task: TaskView }) {
  const { t } = useTranslation("queue");
  const deed = useDeed();
  const rerun = useRerun(task.id);
  const error = deed.error ?? rerun.error;
  return (
    <Panel label={task.prompt} className={classes.running}>
      <div className={classes.runningGrid}>
        <LivePreview task={task.id} ratio={ratioOf(task)} />
        <Stack gap="md" justify="space-between" miw={0}>
          <div>
            <Text fw={600} size="lg" lineClamp={3}>
              {task.prompt}
            </Text>
            <TaskFacts task={task} />
          </div>
          <JobProgress task={task} />
          {error && <ProblemNote error={error} />}
          <Group gap="xs">
            <Button
              size="sm"
              variant="default"
              leftSection={<X size={16} aria-hidden />}
              loading={deed.isPending}
              disabled={task.message === "is being cancelled" || deed.isSuccess}
              onClick={() => deed.mutate({ deed: "cancel", id: task.id })}
            >
              {t(deed.isSuccess ? "cancelling" : "cancel")}
            </Button>
            <Button
              size="sm"
              variant="subtle"
              color="gray"
              leftSection={<Copy size={15} aria-hidden />}
              loading={rerun.isPending}
              onClick={() => rerun.mutate(false)}
            >
              {t("again")}
            </Button>
          </Group>
        </Stack>
      </div>
    </Panel>
  );
}
