import { expect, test } from "vitest";

import type { QueueView, TaskView } from "@/api/types";
import { task } from "@/lib/tasks.fixture";

import { changesOf } from "./edit-dialog";
import { groupsOf } from "./groups";
import { inOrder } from "./use-queue";

const tasks = [
  task("c", { position: 3 }),
  task("a", { position: 1 }),
  task("b", { position: 2 }),
  task("h", { state: "held" }),
  task("r", { state: "running" }),
  task("old", { state: "succeeded", completed_at: "2026-01-01T01:00:00Z" }),
  task("new", { state: "cancelled", completed_at: "2026-01-01T02:00:00Z" }),
  task("f", { state: "failed" }),
];
const ids = (group: readonly TaskView[]) => group.map(({ id }) => id).join(" ");

test("jobs are grouped by what happens to them, in the order in which it does", () => {
  const { running, waiting, failed, ended } = groupsOf({ tasks });
  expect([running, waiting, failed, ended].map(ids)).toEqual(["r", "a b c h", "f", "new old"]);
});

test("another order keeps the places that the jobs have together", () => {
  const moved = inOrder({ tasks } as QueueView, ["c", "b", "a"]);
  expect(ids(groupsOf(moved).waiting)).toBe("c b a h");
  expect(moved.tasks.find(({ id }) => id === "r")?.position).toBeUndefined();
});

test("only what was changed is sent", () => {
  const before = { prompt: "a", negative: "", steps: 4, seed: 7, tier: "exact" } as const;
  expect(changesOf(before, before)).toEqual({});
  expect(changesOf(before, { ...before, prompt: "b", seed: "" })).toEqual({
    prompt: "b",
    seed: null,
  });
});
