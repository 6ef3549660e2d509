import { expect, test } from "vitest";

import { searchOf } from "./search";

test("what is in the address is looked for", () => {
  expect(searchOf({ text: "heron", model: "t2v-A14B", favourite: true, video: "a1" })).toEqual({
    text: "heron",
    model: "t2v-A14B",
    favourite: true,
    video: "a1",
  });
});

test("digits are a text, and nonsense is nothing", () => {
  expect(searchOf({ text: 2026, model: "", favourite: "yes", video: ["a"] })).toEqual({
    text: "2026",
  });
});
