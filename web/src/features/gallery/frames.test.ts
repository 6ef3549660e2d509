import { expect, test } from "vitest";

import { afterSteps } from "./frames";

test("a step ends in the middle of the next frame", () => {
  expect(afterSteps(0, 1, 16, 81)).toBeCloseTo(1.5 / 16);
  expect(afterSteps(1.5 / 16, -1, 16, 81)).toBeCloseTo(0.5 / 16);
});

test("no step leads out of the video", () => {
  expect(afterSteps(0, -1, 24, 5)).toBeCloseTo(0.5 / 24);
  expect(afterSteps(5 / 24, 3, 24, 5)).toBeCloseTo(4.5 / 24);
});
