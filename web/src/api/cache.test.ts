import { QueryClient } from "@tanstack/react-query";
import { expect, test } from "vitest";

import { applyFrame, applyToQueue, applyUpdate } from "@/api/cache";
import { keys } from "@/api/queries";
import type { DownloadFrame, QueueView, ServerFrame, TaskUpdate, TaskView } from "@/api/types";

const task: TaskView = {
  id: "a",
  model_type: "T2V-A14B",
  prompt: "a heron",
  resolution: "832x480",
  steps: 20,
  lora_strength: 1,
  status: "pending",
  progress: 0,
  created_at: "2026-01-01T00:00:00Z",
  state: "queued",
  model: "t2v-A14B",
  demo: false,
  position: 1,
  priority: 0,
  attempt: 0,
  tier: "exact",
  fallback: "auto",
  loras: [],
  adjustments: [],
  warnings: [],
};
const running: TaskUpdate = { task_id: "a", status: "processing", state: "running", progress: 40 };
const queue: QueueView = {
  total_tasks: 1,
  pending_tasks: 1,
  processing_tasks: 0,
  completed_tasks: 0,
  failed_tasks: 0,
  cancelled_tasks: 0,
  held_tasks: 0,
  paused: false,
  tasks: [task],
};

test("what runs has no place in the queue any more", () => {
  const next = applyUpdate(task, {
    ...running,
    phase: "denoise",
    step: 3,
    steps: 20,
    eta_seconds: 90,
  });
  expect(next).toMatchObject({
    state: "running",
    phase: "denoise",
    step: 3,
    step_count: 20,
    eta_seconds: 90,
  });
  expect(next).not.toHaveProperty("position");
  expect(next.prompt).toBe("a heron");
});

test("what an update leaves out stays, but for the step of another phase", () => {
  const drawing = applyUpdate(task, {
    ...running,
    phase: "denoise",
    step: 3,
    steps: 20,
    eta_seconds: 90,
  });
  expect(applyUpdate(drawing, { ...running, phase: "denoise" })).toMatchObject({
    step: 3,
    eta_seconds: 90,
  });
  expect(applyUpdate(drawing, { ...running, phase: "decode" })).not.toHaveProperty("step");
});

test("what has ended keeps nothing of how it ran", () => {
  const drawing = applyUpdate(task, { ...running, phase: "denoise", step: 3, eta_seconds: 90 });
  const failed = applyUpdate(drawing, {
    task_id: "a",
    status: "failed",
    state: "failed",
    progress: 40,
    error: "no memory",
  });
  expect(failed).toMatchObject({ status: "failed", error_message: "no memory" });
  for (const name of ["phase", "step", "eta_seconds"]) expect(failed).not.toHaveProperty(name);
});

const about = (id: string): ServerFrame => ({
  type: "task_update",
  data: { ...running, task_id: id },
  seq: 1,
});

test("a frame about a job of the queue changes it alone", () => {
  const next = applyToQueue({ ...queue, tasks: [task, { ...task, id: "b" }] }, about("b"));
  expect(next.tasks.map((each) => each.state)).toEqual(["queued", "running"]);
  expect(next.tasks[0]).toBe(task);
});

test("a frame about something else changes nothing", () => {
  expect(applyToQueue(queue, about("c"))).toBe(queue);
  expect(applyToQueue(queue, { type: "task_deleted", data: { task_id: "c" }, seq: 1 })).toBe(queue);
});

test("a deleted job is gone", () => {
  const frame: ServerFrame = { type: "task_deleted", data: { task_id: "a" }, seq: 1 };
  expect(applyToQueue(queue, frame).tasks).toEqual([]);
});

const download: DownloadFrame["data"] = {
  model_id: "ti2v-5B",
  model_type: "TI2V-5B",
  variant: "bf16",
  title: "TI2V 5B",
  reason: "fits",
  status: "downloading",
  progress: 40,
  progress_percent: 40,
  done_bytes: 4,
  fetched_bytes: 4,
  downloaded_mb: 0,
  total_mb: 0,
  speed_mbps: 12,
  priority: 0,
  retries: 0,
  can_pause: true,
  can_resume: false,
  can_cancel: true,
  last_update: "2026-01-01T00:00:00Z",
  timestamp: "2026-01-01T00:00:00Z",
};

test("a download moves on, and the others stay as they are", () => {
  const client = new QueryClient();
  const other = { ...download, model_id: "t2v-A14B" };
  client.setQueryData(keys.downloads, { timestamp: "", downloads: { "t2v-A14B": other } });
  applyFrame(client, { type: "download_progress_update", data: download, seq: 1 });
  expect(client.getQueryData(keys.downloads)).toMatchObject({
    downloads: { "t2v-A14B": other, "ti2v-5B": download },
  });
});
