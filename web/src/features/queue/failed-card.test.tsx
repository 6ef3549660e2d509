import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, expect, test, vi } from "vitest";

import { modelsQuery } from "@/api/queries";
import deutsch from "@/components/locales/de.json";
import common from "@/components/locales/en.json";
import { useDraft } from "@/lib/draft";
import { draw } from "@/lib/draw.fixture";
import { model } from "@/lib/models.fixture";
import { task } from "@/lib/tasks.fixture";

import { FailedCard } from "./failed-card";
import german from "./locales/de.json";
import queue from "./locales/en.json";

const call = (path: string, body: object) => ({ method: "POST", path, body });
const failed = task("f1", {
  state: "failed",
  status: "failed",
  failure: {
    code: "FAMILY_OWN",
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

const { went } = vi.hoisted(() => ({ went: vi.fn() }));
vi.mock("@tanstack/react-router", () => ({ useNavigate: () => went }));
afterEach(() => vi.unstubAllGlobals());

test("a failure says what happened and what was kept, and offers what would help", () => {
  draw(<FailedCard task={failed} />, { queue, common });
  expect(screen.getByText("The GPU memory was too small")).toBeTruthy();
  expect(screen.getByText("Kept: 12 of 20 steps")).toBeTruthy();
  expect(screen.getByRole("button", { name: "Use 8-bit" })).toBeTruthy();
  expect(screen.getByRole("listitem").textContent).toBe("Close other programs");
  expect(screen.queryByRole("button", { name: "Again" })).toBeNull(); // that is "Try again"
});

test("of codes that are known, it speaks the user's language", () => {
  const failure = {
    ...failed.failure,
    code: "VRAM_OOM",
    actions: [
      {
        text: "fits",
        effect: "",
        code: "fitting",
        values: { vram_bytes: 12 * 2 ** 30, minutes: 3 },
        call: call("/api/v1/queue/f1/rerun", {}),
        change: { resolution: "832x480", frames: 49, seconds: null, tier: "fast" },
      },
    ],
  };
  const speaking = { queue: german, common: deutsch };
  draw(<FailedCard task={{ ...failed, failure } as never} />, speaking);
  expect(screen.getByText("Der Grafikspeicher reichte nicht")).toBeTruthy();
  expect(screen.getByText("3.1 GiB more were needed")).toBeTruthy();
  const name = "832x480, 49 Bilder, Stufe „fast“: 12 GiB Grafikspeicher, etwa 3 min";
  expect(screen.getByRole("button", { name })).toBeTruthy();
});

test("what was asked for can be changed and asked for again", async () => {
  const models = [model()];
  const job = { ...failed, model: "t2v-A14B", steps: 7, resolution: "64x96", tier: "fast" };
  draw(<FailedCard task={job} />, { queue, common }, [[modelsQuery.queryKey, { models }]]);
  await userEvent.click(screen.getByRole("button", { name: "Change" }));
  expect(went).toHaveBeenCalledWith({ to: "/" });
  expect(useDraft.getState().draft).toMatchObject({
    prompt: job.prompt,
    model: job.model,
    steps: 7,
    size: { width: 64, height: 96 },
    tier: "fast",
  });
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
