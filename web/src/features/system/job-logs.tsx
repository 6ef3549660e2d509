import { Badge, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import { queueQuery } from "@/api/queries";
import type { QueueView, TaskView } from "@/api/types";
import { LogButton } from "@/components/log-button";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { useFormat } from "@/lib/use-format";
import { useNow } from "@/lib/use-now";

import classes from "./system.module.css";

const FEW = 10;
const COLORS = {
  queued: "gray",
  held: "yellow",
  running: "blue",
  succeeded: "teal",
  failed: "red",
  cancelled: "gray",
};

/** The latest jobs, the newest first. */
function latest({ tasks }: QueueView): TaskView[] {
  const when = (task: TaskView) => task.completed_at ?? task.started_at ?? task.created_at;
  return tasks.toSorted((a, b) => when(b).localeCompare(when(a))).slice(0, FEW);
}

/** What happened to each of the latest jobs. */
export function JobLogs() {
  const { t } = useTranslation(["system", "common"]);
  const format = useFormat();
  const now = useNow(30_000);
  const tasks = useQuery({ ...queueQuery, select: latest });
  return (
    <QueryView query={tasks}>
      {(all) => (
        <Panel>
          {all.length === 0 && <Text size="sm">{t("logs.none")}</Text>}
          <Stack gap={4} component="ul" className={classes.checks}>
            {all.map((task) => (
              <Group key={task.id} component="li" gap="sm" wrap="nowrap">
                <Badge color={COLORS[task.state]}>{t(`common:state.${task.state}`)}</Badge>
                <Text size="sm" truncate flex={1}>
                  {task.prompt}
                </Text>
                <Text size="xs" c="dimmed" className="numbers" visibleFrom="sm">
                  {format.ago(task.completed_at ?? task.created_at, now)}
                </Text>
                <LogButton task={task} />
              </Group>
            ))}
          </Stack>
        </Panel>
      )}
    </QueryView>
  );
}
