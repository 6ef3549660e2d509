import { Group, Text } from "@mantine/core";
import { useTranslation } from "react-i18next";

import type { TaskView } from "@/api/types";
import { DemoBadge } from "@/components/demo-badge";
import { useFormat } from "@/lib/use-format";

/** What a job makes, in one line. */
export function TaskFacts({ task }: { task: TaskView }) {
  const { t } = useTranslation("queue");
  const format = useFormat();
  const facts = [
    task.model,
    task.resolution.replace("x", " × "),
    task.frames != null && task.fps != null
      ? t("seconds", { seconds: format.number(task.frames / task.fps, 1) })
      : null,
    t("steps", { count: task.steps }),
    task.seed == null ? null : t("seed", { seed: task.seed }),
  ].filter((fact) => fact !== null);
  return (
    <Group gap={8}>
      {task.demo && <DemoBadge />}
      <Text size="xs" c="dimmed" className="numbers">
        {facts.join(" · ")}
      </Text>
    </Group>
  );
}
