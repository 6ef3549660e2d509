/** What the socket tells, put into what was asked for earlier. Pure, but for the last function. */
import type { QueryClient } from "@tanstack/react-query";

import { keys, type Live } from "@/api/queries";
import type {
  DownloadViews,
  QueueView,
  ServerFrame,
  Stats,
  TaskUpdate,
  TaskView,
} from "@/api/types";

/** A task after news of it. What runs is only known while it runs. */
export function applyUpdate(task: TaskView, update: TaskUpdate): TaskView {
  const { phase, step, step_count, seconds_per_step, eta_seconds, position, ...rest } = task;
  const next: TaskView = {
    ...rest,
    status: update.status,
    state: update.state,
    progress: update.progress,
  };
  if (update.state === "queued" || update.state === "held") {
    if (position !== undefined) next.position = position;
    return next;
  }
  if (update.state === "running") {
    const told = {
      phase: update.phase ?? phase,
      step: update.step ?? (update.phase === phase ? step : undefined),
      step_count: update.steps ?? step_count,
      seconds_per_step: update.seconds_per_step ?? seconds_per_step,
      eta_seconds: update.eta_seconds ?? eta_seconds,
    };
    return { ...next, ...defined(told) };
  }
  return {
    ...next,
    ...defined({
      error_message: update.error,
      failure: update.failure,
      output_path: update.output_path,
      video_url: update.video_url,
    }),
  };
}

function defined<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const known = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(known) as { [K in keyof T]?: NonNullable<T[K]> };
}

/** The queue after a frame; the same object if the frame is about nothing in it. */
export function applyToQueue(queue: QueueView, frame: ServerFrame): QueueView {
  if (frame.type === "task_deleted") {
    const tasks = queue.tasks.filter((task) => task.id !== frame.data.task_id);
    return tasks.length === queue.tasks.length ? queue : { ...queue, tasks };
  }
  if (frame.type === "snapshot") {
    const told = new Map(frame.data.tasks.map((task) => [task.id, task]));
    return {
      ...queue,
      paused: frame.data.paused,
      tasks: queue.tasks.map((task) => told.get(task.id) ?? task),
    };
  }
  if (frame.type !== "task_update") return queue;
  const update = frame.data;
  if (!queue.tasks.some((task) => task.id === update.task_id)) return queue;
  return {
    ...queue,
    tasks: queue.tasks.map((task) =>
      task.id === update.task_id ? applyUpdate(task, update) : task,
    ),
  };
}

export function applyToLive(live: Live | undefined, frame: ServerFrame): Live | undefined {
  if (frame.type === "preview") return { ...live, preview: frame.data };
  if (frame.type === "detailed_generation_progress") return { ...live, detail: frame.data };
  return live;
}

const ENDED = new Set(["completed", "failed", "cancelled"]);

/** Bring the cache up to date. What a frame does not say in full is asked for again. */
export function applyFrame(client: QueryClient, frame: ServerFrame): void {
  client.setQueryData<QueueView>(keys.queue, (queue) => queue && applyToQueue(queue, frame));
  switch (frame.type) {
    case "preview":
    case "detailed_generation_progress":
      client.setQueryData<Live>(keys.live(frame.data.task_id), (live) => applyToLive(live, frame));
      break;
    case "task_update": {
      const update = frame.data;
      client.setQueryData<TaskView>(
        keys.task(update.task_id),
        (task) => task && applyUpdate(task, update),
      );
      if (ENDED.has(update.status)) refresh(client, keys.outputs, keys.task(update.task_id));
      break;
    }
    case "queue_update":
    case "task_deleted":
      refresh(client, keys.queue, ...(frame.type === "task_deleted" ? [keys.outputs] : []));
      break;
    case "connection_established":
      void client.invalidateQueries(
        frame.data.replayed ? { predicate: ({ state }) => state.status === "error" } : {},
      );
      break;
    case "download_progress_update": {
      const download = frame.data;
      client.setQueryData<DownloadViews>(
        keys.downloads,
        (known) =>
          known && { ...known, downloads: { ...known.downloads, [download.model_id]: download } },
      );
      break;
    }
    case "system_stats_update":
      client.setQueryData<Stats>(keys.stats, frame.data);
      break;
    case "download_status_change":
    case "model_availability_change":
    case "model_download_complete":
      refresh(client, keys.models, keys.downloads);
      break;
    default:
      break;
  }
}

function refresh(client: QueryClient, ...stale: (readonly string[])[]): void {
  for (const queryKey of stale) void client.invalidateQueries({ queryKey });
}
