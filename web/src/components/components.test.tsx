import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";

import { ApiError } from "@/api/client";
import { jobEventsQuery } from "@/api/queries";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { JobLog } from "@/components/job-log";
import common from "@/components/locales/en.json";
import { ProblemNote } from "@/components/problem-note";
import { draw } from "@/lib/draw.fixture";

const english = { common };
const problem = {
  detail: "too large",
  message: "too large",
  error: "INPUT_RANGE",
  code: "INPUT_RANGE",
  suggestions: ["Use 480p", "Buy memory"],
  actions: [{ text: "Use 480p", effect: "", change: { resolution: "832x480" } }],
};

test("a problem offers what can be done as buttons, and says the rest", async () => {
  const act = vi.fn();
  draw(<ProblemNote error={new ApiError(422, problem)} act={act} />, english);
  expect(screen.getAllByRole("listitem").map(({ textContent }) => textContent)).toEqual([
    "Buy memory",
  ]);
  expect(screen.getByText("A value cannot be used")).toBeTruthy();
  expect(screen.getByText("too large")).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: "Use 480p" }));
  expect(act).toHaveBeenCalledWith(problem.actions[0]);
});

test("the log of a job lists what happened, in order", async () => {
  const at = "2026-01-01T10:00:00Z";
  const events = [
    { seq: 1, type: "submitted", at, data: { state: "queued" } },
    { seq: 2, type: "failed", at, data: { code: "VRAM_OOM" } },
  ];
  draw(<JobLog task={{ id: "j1", prompt: "a heron" }} close={vi.fn()} />, english, [
    [jobEventsQuery("j1").queryKey, { task_id: "j1", events }],
  ]);
  const lines = await screen.findAllByRole("listitem");
  expect(lines.map((line) => line.querySelector("strong")?.textContent)).toEqual([
    "submitted",
    "failed",
  ]);
  expect(lines[1]?.textContent).toContain("code VRAM_OOM");
});

test("nothing is deleted before it is known what would be", async () => {
  const confirm = vi.fn();
  const dialog = (disabled: boolean) => (
    <ConfirmDialog
      title="Delete?"
      deed="Delete it"
      onConfirm={confirm}
      onClose={vi.fn()}
      busy={false}
      disabled={disabled}
      error={null}
    >
      9 GB
    </ConfirmDialog>
  );
  draw(dialog(true), english);
  const button = await screen.findByRole("button", { name: "Delete it" });
  expect(button.hasAttribute("disabled")).toBe(true);
});
