import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test, vi } from "vitest";

import { hardwareQuery, healthQuery, modelsQuery, planQuery, statsQuery } from "@/api/queries";
import type { ModelView, PlanView } from "@/api/types";
import common from "@/components/locales/en.json";
import { emptyDraft, useDraft } from "@/lib/draft";
import { draw } from "@/lib/draw.fixture";
import { model } from "@/lib/models.fixture";

import texts from "./locales/en.json";
import { ModelCard } from "./model-card";
import { PlanDetails } from "./plan-details";
import { PromptLength } from "./prompt-length";
import { VariantPicker } from "./variant-picker";

const english = { generate: texts, common };
const stats = { vram_total_mb: 16 * 1024, ram_total_gb: 64 };
const plan: PlanView = {
  adjustments: [],
  alternatives: [
    {
      change: "832x480, instead of 1280x720",
      patch: { resolution: "832x480", frames: 81, tier: "exact" },
      fits: true,
      seconds: 120,
      quality: [],
    },
    { change: "8-bit", patch: { tier: "fast" }, fits: false, seconds: 90, quality: [] },
  ] as unknown as PlanView["alternatives"],
  device: "cuda:0",
  fits: false,
  frames: 81,
  gpus: 1,
  height: 720,
  host_mb: 20_000,
  minutes: 4,
  model: "t2v-A14B",
  model_type: "T2V-A14B",
  notes: [],
  on_disk: true,
  peak_mb: 20 * 1024,
  phases: [],
  precision: "bf16",
  quality: [],
  rates: "",
  seconds: 240,
  short_mb: 4096,
  step_cache: null,
  steps: 40,
  streamed_blocks: 0,
  tier: "exact",
  width: 1280,
};

beforeEach(() => useDraft.getState().replace(emptyDraft));

test("a plan that does not fit says by how much, and offers what fits at one press", async () => {
  const change = vi.fn();
  draw(<PlanDetails plan={plan} stale={false} count={2} change={change} />, english, [
    [statsQuery.queryKey, stats],
    [hardwareQuery.queryKey, { free_disk_gb: 400 }],
  ]);
  expect(screen.getByText("8 min")).toBeTruthy(); // of two videos
  expect(screen.getByText("4 GiB of memory are missing for this.")).toBeTruthy();
  const others = screen.getAllByRole("button");
  expect(others.map(({ textContent }) => textContent)).toEqual(["832x480 · 2 min"]);
  await userEvent.click(screen.getByRole("button"));
  expect(change).toHaveBeenCalledWith({ resolution: "832x480", frames: 81, tier: "exact" });
});

test("all that an alternative changes is said, and nothing else", () => {
  const patch = { resolution: "832x480", frames: 49, tier: "exact", step_cache: 0.05 };
  const other = { ...plan.alternatives[0], change: "832x480", patch } as never;
  draw(
    <PlanDetails
      plan={{ ...plan, alternatives: [other] }}
      stale={false}
      count={1}
      change={vi.fn()}
    />,
    english,
    [
      [statsQuery.queryKey, stats],
      [hardwareQuery.queryKey, { free_disk_gb: 400 }],
    ],
  );
  expect(screen.getByRole("button").textContent).toBe(
    "832x480, 49 frames, step cache 0.05 · 2 min",
  );
});

test("what a lossy setting costs is said, and measured on which model", () => {
  const fast = {
    setting: "fast",
    model: "t2v-A14B-demo",
    clips: 200,
    psnr_db: 40,
    right_percent: 98.5,
    exact_right_percent: 98.5,
  };
  const said =
    "fast: 40 dB to exact, 98.5 % of the clips right (exact 98.5 %), measured with t2v-A14B-demo";
  const other = { ...plan.alternatives[1], fits: true, quality: [fast] } as never;
  draw(
    <PlanDetails
      plan={{ ...plan, fits: true, quality: [fast], alternatives: [other] }}
      stale={false}
      count={1}
      change={vi.fn()}
    />,
    english,
    [
      [statsQuery.queryKey, stats],
      [hardwareQuery.queryKey, { free_disk_gb: 400 }],
    ],
  );
  expect(screen.getByText(said)).toBeTruthy();
  expect(screen.getByRole("button").title).toBe(said);
});

test("the card of a model says how good it will be", () => {
  const fast = { setting: "fast", model: "t2v-A14B-demo", psnr_db: 40 } as PlanView["quality"][0];
  draw(<ModelCard model={model()} image={false} />, english, [
    [planQuery({ model_type: "t2v-A14B", image: false }).queryKey, { ...plan, quality: [fast] }],
  ]);
  expect(screen.getByText("8 bits: 40 dB to exact, measured on the demo model")).toBeTruthy();
});

const forms: ModelView["variants"] = [
  { id: "fp16", title: "16-bit single files", bytes: 69e9, quantised: false, recommended: false },
  { id: "q4_k_m", title: "GGUF Q4_K_M", bytes: 26e9, quantised: true, recommended: true },
];

test("the form of the weights is chosen, and what suits the computer is marked", async () => {
  draw(<VariantPicker model={model({ variants: forms })} />, english);
  await userEvent.click(screen.getByRole("combobox"));
  await userEvent.click(screen.getByText("GGUF Q4_K_M · 26 GB · suits this computer"));
  expect(useDraft.getState().draft.variant).toBe("q4_k_m");
});

test("a prompt is measured in tokens, and what is cut is said", () => {
  useDraft.getState().change({ prompt: "a heron" });
  const tokens = (count: number) =>
    draw(<PromptLength />, english, [
      [modelsQuery.queryKey, { models: [model()], problems: [] }],
      [healthQuery.queryKey, { demo: false }],
      [["tokens", "t2v-A14B", "a heron"], { tokens: count, limit: 512 }],
    ]);
  const { unmount } = tokens(4);
  expect(screen.getByText("4 of 512 tokens")).toBeTruthy();
  unmount();
  tokens(600);
  expect(screen.getByRole("alert").textContent).toContain("the model reads the first 512");
});
