import { Button, Group, List, Stack, Text, Tooltip } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { CircleCheck, Pencil, RotateCcw, Trash2, TriangleAlert } from "lucide-react";
import { useTranslation } from "react-i18next";

import { modelsQuery } from "@/api/queries";
import type { TaskView } from "@/api/types";
import { LogButton } from "@/components/log-button";
import { Panel } from "@/components/panel";
import { ProblemNote } from "@/components/problem-note";
import { useFailureTexts } from "@/components/use-failure-texts";
import { fromTask, useDraft } from "@/lib/draft";

import { TaskFacts } from "./task-facts";
import { useAdvice, useDeed } from "./use-queue";

import classes from "./queue.module.css";

/** "Try again" has a button of its own. */
function isPlainRetry(path: string, change: object | null | undefined): boolean {
  return path.endsWith("/retry") && Object.keys(change ?? {}).length === 0;
}

/** What went wrong, what was kept, and what to do about it, a button each. */
export function FailedCard({ task }: { task: TaskView }) {
  const { t } = useTranslation("queue");
  const deed = useDeed();
  const advice = useAdvice();
  const said = useFailureTexts();
  const client = useQueryClient();
  const navigate = useNavigate();
  const change = async () => {
    const { models } = await client.query({ ...modelsQuery, staleTime: "static" });
    useDraft.getState().replace(fromTask(task, models));
    await navigate({ to: "/" });
  };
  const { failure } = task;
  const actions = failure?.actions ?? [];
  const words = actions.filter(({ call }) => call == null);
  const error = deed.error ?? advice.error;
  return (
    <Panel label={task.prompt} className={classes.failed}>
      <Stack gap="sm">
        <Group gap="sm" wrap="nowrap" align="start">
          <TriangleAlert
            size={20}
            color="var(--bad)"
            aria-hidden
            style={{ flex: "none", marginTop: 2 }}
          />
          <div style={{ minWidth: 0 }}>
            <Text fw={600}>{failure ? said.title(failure) : t("failedPlain")}</Text>
            <Text size="sm">{failure?.message ?? task.error_message}</Text>
          </div>
        </Group>
        {failure?.kept != null && (
          <Group gap={6}>
            <CircleCheck size={16} color="var(--good)" aria-hidden />
            <Text size="sm">{t("kept", { what: failure.kept })}</Text>
          </Group>
        )}
        <div>
          <Text size="sm" c="dimmed" lineClamp={2}>
            {task.prompt}
          </Text>
          <TaskFacts task={task} />
        </div>
        {words.length > 0 && (
          <List size="sm">
            {words.map((action) => (
              <List.Item key={action.text}>{said.label(action)}</List.Item>
            ))}
          </List>
        )}
        {error && <ProblemNote error={error} />}
        <Group gap="xs">
          <Button
            size="sm"
            leftSection={<RotateCcw size={16} aria-hidden />}
            loading={deed.isPending}
            onClick={() => deed.mutate({ deed: "retry", id: task.id })}
          >
            {t("retry")}
          </Button>
          {actions.map((action) => {
            const { text, call, change } = action;
            return (
              call != null &&
              !isPlainRetry(call.path, change) && (
                <Tooltip key={text} label={said.effect(action)}>
                  <Button
                    size="sm"
                    variant="default"
                    loading={advice.isPending}
                    onClick={() => advice.mutate(call)}
                  >
                    {said.label(action)}
                  </Button>
                </Tooltip>
              )
            );
          })}
          <Button
            size="sm"
            variant="subtle"
            leftSection={<Pencil size={15} aria-hidden />}
            onClick={() => void change()}
          >
            {t("edit.button")}
          </Button>
          <Button
            size="sm"
            variant="subtle"
            color="gray"
            leftSection={<Trash2 size={15} aria-hidden />}
            onClick={() => deed.mutate({ deed: "remove", id: task.id })}
          >
            {t("remove")}
          </Button>
          <LogButton task={task} />
        </Group>
      </Stack>
    </Panel>
  );
}
