import { useSortable } from "@dnd-kit/sortable";
import { CSS } from "@dnd-kit/utilities";
import { ActionIcon, Badge, Group, Menu, Text } from "@mantine/core";
import { ArrowUpToLine, Copy, Ellipsis, GripVertical, Pause, Pencil, Play, X } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { TaskView } from "@/api/types";
import { ProblemNote } from "@/components/problem-note";

import { EditDialog } from "./edit-dialog";
import { TaskFacts } from "./task-facts";
import { useDeed, useRerun, type Deed } from "./use-queue";

import classes from "./queue.module.css";

/** A job that waits: it can be moved, held, changed, doubled and taken out. */
export function WaitingRow({ task, place }: { task: TaskView; place: number }) {
  const { t } = useTranslation("queue");
  const deed = useDeed();
  const rerun = useRerun(task.id);
  const [editing, setEditing] = useState(false);
  const held = task.state === "held";
  const { attributes, listeners, setNodeRef, transform, transition, isDragging } = useSortable({
    id: task.id,
    disabled: held,
  });
  const does = (name: Deed) => () => deed.mutate({ deed: name, id: task.id });
  const error = deed.error ?? rerun.error;
  return (
    <li
      ref={setNodeRef}
      className={classes.row}
      data-dragging={isDragging || undefined}
      style={{
        transform: CSS.Translate.toString(transform),
        transition: transition,
      }}
    >
      <button
        type="button"
        className={classes.grip}
        {...attributes}
        {...listeners}
        aria-label={t("drag.label", { prompt: task.prompt })}
        disabled={held}
      >
        <GripVertical size={17} aria-hidden />
      </button>
      <span className={`${classes.place ?? ""} numbers`} aria-hidden>
        {!held && place}
      </span>
      <div className={classes.what}>
        <Text fw={550} lineClamp={2}>
          {task.prompt}
        </Text>
        <TaskFacts task={task} />
        {error && <ProblemNote error={error} />}
      </div>
      <Group gap={4} wrap="nowrap">
        {held && <Badge color="yellow">{t("held")}</Badge>}
        <ActionIcon
          title={t(held ? "release" : "hold")}
          variant="subtle"
          color="gray"
          size="lg"
          aria-label={t(held ? "release" : "hold")}
          loading={deed.isPending}
          onClick={does(held ? "release" : "hold")}
        >
          {held ? <Play size={17} aria-hidden /> : <Pause size={17} aria-hidden />}
        </ActionIcon>
        <Menu position="bottom-end" shadow="md" radius="md">
          <Menu.Target>
            <ActionIcon
              variant="subtle"
              color="gray"
              size="lg"
              aria-label={t("more", { prompt: task.prompt })}
            >
              <Ellipsis size={18} aria-hidden />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            {!held && (
              <Menu.Item
                leftSection={<ArrowUpToLine size={16} aria-hidden />}
                onClick={does("first")}
              >
                {t("first")}
              </Menu.Item>
            )}
            <Menu.Item
              leftSection={<Pencil size={16} aria-hidden />}
              onClick={() => setEditing(true)}
            >
              {t("edit.button")}
            </Menu.Item>
            <Menu.Item
              leftSection={<Copy size={16} aria-hidden />}
              onClick={() => rerun.mutate(false)}
            >
              {t("again")}
            </Menu.Item>
            <Menu.Item
              color="red"
              leftSection={<X size={16} aria-hidden />}
              onClick={does("cancel")}
            >
              {t("cancel")}
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      </Group>
      {editing && <EditDialog task={task} close={() => setEditing(false)} />}
    </li>
  );
}
