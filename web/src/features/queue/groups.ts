import type { QueueView, TaskView } from "@/api/types";

export interface Groups {
  running: TaskView[];
  /** In the order in which they will run; held ones, which have no turn, after them. */
  waiting: TaskView[];
  failed: TaskView[];
  /** Made or cancelled, the newest first. */
  ended: TaskView[];
}

const FAR = Number.MAX_SAFE_INTEGER;

export function groupsOf({ tasks }: Pick<QueueView, "tasks">): Groups {
  const of = (...states: TaskView["state"][]) =>
    tasks.filter((task) => states.includes(task.state));
  const place = (task: TaskView) => task.position ?? FAR;
  const newest = (a: TaskView, b: TaskView) =>
    (b.completed_at ?? b.created_at).localeCompare(a.completed_at ?? a.created_at);
  return {
    running: of("running"),
    waiting: of("queued", "held").sort(
      (a, b) => place(a) - place(b) || a.created_at.localeCompare(b.created_at),
    ),
    failed: of("failed").sort(newest),
    ended: of("succeeded", "cancelled").sort(newest),
  };
}
