import { ActionIcon, Badge, Group, Text } from "@mantine/core";
import { Copy, RotateCcw, Trash2 } from "lucide-react";
import { useTranslation } from "react-i18next";

import type { TaskView } from "@/api/types";
import { LogButton } from "@/components/log-button";
import { useFormat } from "@/lib/use-format";
import { useNow } from "@/lib/use-now";

import { TaskFacts } from "./task-facts";
import { useDeed, useRerun } from "./use-queue";

import classes from "./queue.module.css";

/** A job that is over. */
export function EndedRow({ task }: { task: TaskView }) {
  const { t } = useTranslation(["queue", "common"]);
  const format = useFormat();
  const now = useNow(30_000);
  const deed = useDeed();
  const rerun = useRerun(task.id);
  const done = task.state === "succeeded";
  const took =
    task.started_at != null && task.completed_at != null
      ? (Date.parse(task.completed_at) - Date.parse(task.started_at)) / 1000
      : null;
  return (
    <li className={classes.row}>
      {task.thumbnail_url != null && (
        <a
          href={task.video_url ?? undefined}
          target="_blank"
          rel="noreferrer"
          className={classes.thumb}
        >
          <img src={task.thumbnail_url} alt={t("open", { prompt: task.prompt })} loading="lazy" />
        </a>
      )}
      <div className={classes.what}>
        <Text fw={550} truncate>
          {task.prompt}
        </Text>
        <TaskFacts task={task} />
      </div>
      <Group gap={4} wrap="nowrap">
        <Text size="xs" c="dimmed" className="numbers" visibleFrom="sm">
          {done && took !== null ? t("took", { time: format.duration(took) }) : null}{" "}
          {format.ago(task.completed_at ?? task.created_at, now)}
        </Text>
        {!done && <Badge color="gray">{t("common:state.cancelled")}</Badge>}
        <LogButton task={task} />
        {done ? (
          <Act
            label={t("again")}
            run={() => rerun.mutate(false)}
            icon={<Copy size={16} aria-hidden />}
          />
        ) : (
          <>
            <Act
              label={t("retry")}
              run={() => deed.mutate({ deed: "retry", id: task.id })}
              icon={<RotateCcw size={16} aria-hidden />}
            />
            <Act
              label={t("remove")}
              run={() => deed.mutate({ deed: "remove", id: task.id })}
              icon={<Trash2 size={16} aria-hidden />}
            />
          </>
        )}
      </Group>
    </li>
  );
}

function Act({ label, run, icon }: { label: string; run: () => void; icon: React.ReactNode }) {
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      size="lg"
      aria-label={label}
      title={label}
      onClick={run}
    >
      {icon}
    </ActionIcon>
  );
}
