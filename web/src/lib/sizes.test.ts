import { expect, test } from "vitest";

import { model } from "@/lib/models.fixture";
import { detailsOf, framesFor, legal, SHAPES, shapeOf, sizeFor } from "@/lib/sizes";

const large = model();
const small = model({
  usual_sizes: [{ width: 128, height: 128 }],
  limits: { ...large.limits, max_area: 128 * 128, max_frames: 33 },
});

test("usual sizes are what their shape and detail lead to", () => {
  expect(detailsOf(large).map(({ lines }) => lines)).toEqual([480, 720]);
  const [low, high] = detailsOf(large);
  if (low === undefined || high === undefined) throw new Error("no details");
  expect(sizeFor(large, 16 / 9, low)).toEqual({ width: 832, height: 480 });
  expect(sizeFor(large, 9 / 16, high)).toEqual({ width: 720, height: 1280 });
});

test.each([large, small])("every shape is legal, and looks like itself", (each) => {
  const { size_multiple: step, max_area: most, min_side: least } = each.limits;
  for (const detail of detailsOf(each)) {
    for (const shape of SHAPES) {
      const size = sizeFor(each, shape.ratio, detail);
      expect([size.width % step, size.height % step]).toEqual([0, 0]);
      expect(Math.min(size.width, size.height)).toBeGreaterThanOrEqual(least);
      expect(size.width * size.height).toBeLessThanOrEqual(most);
      expect(shapeOf(size).id).toBe(shape.id);
    }
  }
});

test("what is too large keeps its shape", () => {
  const size = legal(large, 4000, 2000);
  expect(size.width * size.height).toBeLessThanOrEqual(large.limits.max_area);
  expect(size.width / size.height).toBeCloseTo(2, 1);
});

test("lengths are snapped to frames that there are", () => {
  expect([0, 1, 5, 5.1, 99].map((seconds) => framesFor(large, seconds))).toEqual([
    1, 17, 81, 81, 161,
  ]);
  for (let seconds = 0; seconds < 12; seconds += 0.1) expect(framesFor(large, seconds) % 4).toBe(1);
});
