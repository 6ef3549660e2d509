import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";

import { adviceQuery } from "@/api/queries";
import type { DownloadView, Recommendation } from "@/api/types";
import common from "@/components/locales/en.json";
import { draw } from "@/lib/draw.fixture";
import { model } from "@/lib/models.fixture";

import { AddFiles } from "./add-files";
import { Advice } from "./advice";
import { DownloadProgress } from "./download-progress";
import texts from "./locales/en.json";
import { ModelCard } from "./model-card";

// The client of the API takes the browser's fetch when it is made.
const asked = vi.hoisted(() => {
  const fetch = vi.fn<(request: Request) => Promise<Response>>();
  globalThis.fetch = fetch as typeof globalThis.fetch;
  return fetch;
});
const english = { models: texts, common };
const download: DownloadView = {
  model_id: "t2v-A14B",
  model_type: "T2V-A14B",
  title: "Wan 2.2 T2V A14B",
  variant: "fp8",
  status: "downloading",
  progress: 25,
  done_bytes: 9e9,
  fetched_bytes: 9e9,
  total_bytes: 36e9,
  speed_mbps: 90,
  eta_seconds: 300,
  can_pause: true,
  can_resume: false,
  can_cancel: true,
  priority: 0,
  reason: "",
  retries: 0,
  last_update: "2026-01-01T00:00:00Z",
};
const advice: Recommendation = {
  recommended_model: "t2v-A14B",
  model_type: "T2V-A14B",
  reasoning: [],
  points: [
    { code: "from_text", text: "from text", values: {} },
    { code: "lacks_memory", text: "no", values: { model: "Wan", short_bytes: 3 * 2 ** 30 } },
  ],
  alternative_models: [],
  limitations: [],
  expected_performance: { seconds: 180 },
  hardware_requirements: {} as Recommendation["hardware_requirements"],
};

test("a download shows how far it is, how fast, and what can be done", () => {
  draw(<DownloadProgress title="Wan" download={download} />, english);
  expect(screen.getByText("25 %")).toBeTruthy();
  expect(screen.getByText(/9 GB of 36 GB · 90 MB a second · about 5 min left/)).toBeTruthy();
  expect(screen.getAllByRole("button").map(({ textContent }) => textContent)).toEqual([
    "Pause",
    "Cancel",
  ]);
});

test("a download that failed says why by its code, and then in the server's words", () => {
  const failed: DownloadView = {
    ...download,
    status: "failed",
    error: "127.0.0.1 does not answer",
    error_code: "DOWNLOAD_UNREACHABLE",
  };
  draw(<DownloadProgress title="Wan" download={failed} />, english);
  expect(screen.getByText("The hub does not answer")).toBeTruthy();
  expect(screen.getByText("127.0.0.1 does not answer").lang).toBe("en");
});

test("a model that is merely not here is no error; one that is damaged is", () => {
  const missing = model({ state: "missing", problem: "it is not on disk" });
  const { rerender } = draw(<ModelCard model={missing} download={null} />, english);
  expect(screen.queryByText("it is not on disk")).toBeNull();
  rerender(<></>);
  draw(<ModelCard model={{ ...missing, state: "unusable" }} download={null} />, english);
  expect(screen.getByText("it is not on disk")).toBeTruthy();
});

test("two questions lead to a model", async () => {
  const quick = { ...advice, recommended_model: "t2v-A14B-lightning" };
  draw(<Advice models={[model()]} />, english, [
    [adviceQuery({ from: "text", first: "quality" }).queryKey, advice],
    [adviceQuery({ from: "text", first: "speed" }).queryKey, quick],
  ]);
  expect(screen.getByRole("link").textContent).toBe("Wan 2.2 T2V A14B");
  expect(screen.getAllByRole("listitem").map(({ textContent }) => textContent)).toEqual([
    "The video is made from text alone.",
    "Wan lacks 3 GiB of memory here.",
  ]);
  await userEvent.click(screen.getByRole("radio", { name: "Speed" }));
  expect(screen.getByRole("link").getAttribute("href")).toBe("#model-t2v-A14B-lightning");
});

test("what is added names its path, and its role only if one was chosen", async () => {
  asked.mockResolvedValue(
    Response.json({ message: "", found: ["transformer, high, fp8"], ready: ["t2v-A14B"] }),
  );
  draw(<AddFiles />, english);
  await userEvent.type(screen.getByLabelText("Path of a file or folder"), "/comfy/models");
  await userEvent.click(screen.getByRole("button", { name: "Use it" }));
  expect(await screen.findByText("Ready now: t2v-A14B")).toBeTruthy();
  expect(await asked.mock.calls[0]?.[0].json()).toEqual({ path: "/comfy/models" });
});
