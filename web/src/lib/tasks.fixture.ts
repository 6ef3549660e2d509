import type { TaskView } from "@/api/types";

/** A job as the server describes it, for tests. */
export const task = (id: string, changes: Partial<TaskView>): TaskView => ({
  id,
  model_type: "T2V-A14B",
  prompt: id,
  resolution: "128x128",
  steps: 4,
  lora_strength: 1,
  status: "pending",
  progress: 0,
  created_at: "2026-01-01T00:00:00Z",
  state: "queued",
  model: "t2v-A14B-demo",
  demo: true,
  priority: 0,
  attempt: 0,
  tier: "exact",
  fallback: "auto",
  loras: [],
  adjustments: [],
  warnings: [],
  ...changes,
});
