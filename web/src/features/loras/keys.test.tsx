import { screen } from "@testing-library/react";
import { expect, test } from "vitest";

import type { LoraKeys } from "@/api/types";
import common from "@/components/locales/en.json";
import { draw } from "@/lib/draw.fixture";

import { Keys } from "./keys";
import loras from "./locales/en.json";
import { keysQuery } from "./use-loras";

const show = (keys: Partial<LoraKeys>) =>
  draw(<Keys lora="ink" model="t2v-A14B" />, { loras, common }, [
    [
      keysQuery("ink", "t2v-A14B").queryKey,
      { lora_name: "ink", model_id: "t2v-A14B", fits: true, matched: [], unmatched: [], ...keys },
    ],
  ]);

test("layers that change are named, and tensors that have no place", () => {
  show({
    matched: ["blocks.0.self_attn.q", "blocks.0.self_attn.k"],
    unmatched: ["lora_te.weight"],
  });
  expect(screen.getByLabelText("2 layers are changed").textContent).toContain("self_attn.k");
  expect(screen.getByText("1 tensor has no place in the model, and is left out")).toBeTruthy();
});

test("a LoRA for another model says so", () => {
  show({ fits: false, problem: "made for Wan 2.1" });
  expect(screen.getByText("It does not fit this model.")).toBeTruthy();
  expect(screen.getByText("made for Wan 2.1")).toBeTruthy();
});
