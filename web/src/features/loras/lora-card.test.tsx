import { screen } from "@testing-library/react";
import { expect, test } from "vitest";

import { modelsQuery } from "@/api/queries";
import type { LoraView } from "@/api/types";
import common from "@/components/locales/en.json";
import { draw } from "@/lib/draw.fixture";
import { model } from "@/lib/models.fixture";

import loras from "./locales/en.json";
import { LoraCard } from "./lora-card";
import { impactQuery } from "./use-loras";

const slanted: LoraView = {
  name: "slanted",
  filename: "slanted.safetensors",
  path: "slanted",
  size_mb: 0.1,
  created_at: "2026-01-01T00:00:00Z",
  modified_time: "2026-01-01T00:00:00Z",
  models: ["t2v-A14B-demo"],
  compatible_models: ["T2V-A14B"],
  is_loaded: false,
  is_applied: false,
  current_strength: 0,
  pair: false,
  removable: false,
  trigger_words: [],
};

test("a LoRA names the models that it works with, not their type", () => {
  const demo = model({ id: "t2v-A14B-demo", title: "Demo of T2V A14B", demo: true });
  draw(<LoraCard lora={slanted} />, { loras, common }, [
    [modelsQuery.queryKey, { models: [model(), demo], problems: [] }],
    [impactQuery("slanted").queryKey, { estimated_vram_increase_mb: 1 }],
  ]);
  expect(screen.getByText("Demo of T2V A14B")).toBeTruthy();
  expect(screen.queryByText("T2V-A14B")).toBeNull();
});
