import { expect, test } from "vitest";

import { rowsOf } from "./rows";

test("all that a file says of how it was made is shown, LoRAs included", () => {
  const settings = {
    app: "wanvideo",
    params: {
      model: "t2v-A14B",
      prompt: "a heron",
      negative_prompt: "",
      guidance: 4,
      guidance_low: 3,
      sigmas: null,
      seed: 7,
      solver: "unipc",
      loras: [
        { name: "slanted", digest: "ab", strength: 1, strength_low: 0.5 },
        { name: "ink", digest: "cd", strength: 0.8, strength_low: 0.8 },
      ],
    },
  };
  expect(rowsOf(settings)).toEqual([
    ["guidance", "4"],
    ["guidance_low", "3"],
    ["solver", "unipc"],
    ["loras", "slanted 1 / 0.5, ink 0.8"],
  ]);
});

test("a file that says nothing has nothing to show", () => {
  expect(rowsOf({})).toEqual([]);
});
