import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, expect, test, vi } from "vitest";

import common from "@/components/locales/en.json";
import { draw } from "@/lib/draw.fixture";
import { task } from "@/lib/tasks.fixture";

import { FailedCard } from "./failed-card";
import queue from "./locales/en.json";

const call = (path: string, body: object) => ({ method: "POST", path, body });
const failed = task("f1", {
  state: "failed",
  status: "failed",
  failure: {
    code: "VRAM_OOM",
    title: "The GPU memory was too small",
    message: "3.1 GiB more were needed",
    category: "memory",
    suggestions: [],
    retryable: true,
    phase: "denoise",
    kept: "12 of 20 steps",
    actions: [
      {
        text: "Use 8-bit",
        effect: "smaller",
        call: call("/api/v1/queue/f1/retry", { a: 1 }),
        change: { tier: "fast" },
      },
      { text: "Close other programs", effect: "frees memory" },
      { text: "Again", effect: "", call: call("/api/v1/queue/f1/retry", {}), change: {} },
    ],
  } as never,
});

afterEach(() => vi.unstubAllGlobals());

test("a failure says what happened and what was kept, and offers what would help", () => {
  draw(<FailedCard task={failed} />, { queue, common });
  expect(screen.getByText("The GPU memory was too small")).toBeTruthy();
  expect(screen.getByText("Kept: 12 of 20 steps")).toBeTruthy();
  expect(screen.getByRole("button", { name: "Use 8-bit" })).toBeTruthy();
  expect(screen.getByRole("listitem").textContent).toBe("Close other programs");
  expect(screen.queryByRole("button", { name: "Again" })).toBeNull(); // that is "Try again"
});

test("a suggestion does the call that it carries", async () => {
  const fetch = vi.fn(() => Promise.resolve(new Response("{}", { status: 200 })));
  vi.stubGlobal("fetch", fetch);
  draw(<FailedCard task={failed} />, { queue, common });
  await userEvent.click(screen.getByRole("button", { name: "Use 8-bit" }));
  const [url, options] = fetch.mock.calls[0] as unknown as [URL, RequestInit];
  expect([url.pathname, options.method, options.body]).toEqual([
    "/api/v1/queue/f1/retry",
    "POST",
    '{"a":1}',
  ]);
});
