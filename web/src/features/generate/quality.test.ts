import { expect, test } from "vitest";

import type { PlanView } from "@/api/types";
import { model } from "@/lib/models.fixture";

import { qualityOf } from "./quality";

const plan = (changes: object = {}) =>
  ({ precision: "bf16", quality: [], steps: 40, tiles: null, ...changes }) as unknown as PlanView;
const fast = { setting: "fast", model: "t2v-A14B-demo", psnr_db: 40 };

test("a model as it is published, and nothing that changes the picture, is the official precision", () => {
  expect(qualityOf(model(), plan())).toEqual([{ name: "official" }]);
});

test("a lossy setting has the number that the plan has, and none is made up", () => {
  expect(qualityOf(model(), plan({ quality: [fast] }))).toEqual([
    { name: "fast", setting: "fast", psnr: 40 },
  ]);
  expect(qualityOf(model(), plan({ tiles: "640x384" }))).toEqual([{ name: "tilesUnknown" }]);
  expect(qualityOf(model(), plan({ precision: "q4_k_m" }))).toEqual([
    { name: "stored", precision: "q4_k_m" },
  ]);
});

test("a preset of few steps says that its quality was not measured, whatever else it does", () => {
  const preset = model({ preset_of: "t2v-A14B" });
  expect(qualityOf(preset, plan({ steps: 4, quality: [fast] }))).toEqual([
    { name: "steps", steps: 4 },
    { name: "fast", setting: "fast", psnr: 40 },
  ]);
});

test("a demo is a demo", () => {
  expect(qualityOf(model({ demo: true }), plan({ precision: "fp16" }))).toEqual([{ name: "demo" }]);
});
