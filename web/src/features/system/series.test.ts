import { expect, test } from "vitest";

import type { Stats } from "@/api/types";

import { lineOf, series } from "./series";

const sample = (second: number, percent: number): Stats => ({
  timestamp: new Date(second * 1000).toISOString(),
  cpu_percent: percent,
  gpu_percent: 0,
  ram_percent: 0,
  ram_total_gb: 16,
  ram_used_gb: 0,
  disk_percent: 0,
  disk_total_gb: 100,
  disk_used_gb: 0,
  vram_percent: 0,
  vram_total_mb: 0,
  vram_used_mb: 0,
});

test("a line begins with the oldest sample and ends with the newest", () => {
  const points = series([sample(10, 20), sample(15, 40), sample(20, 60)], "cpu_percent");
  expect(points).toEqual([
    { at: 0, percent: 20 },
    { at: 0.5, percent: 40 },
    { at: 1, percent: 60 },
  ]);
  expect(lineOf(points, 100, 50)).toBe("M0.0 40.0L50.0 30.0L100.0 20.0");
});

test("a peak of a second is seen in a line of hours", () => {
  const day = Array.from({ length: 5000 }, (_, second) => sample(second, second === 777 ? 93 : 5));
  const points = series(day, "cpu_percent");
  expect(points.length).toBeLessThanOrEqual(240);
  expect(Math.max(...points.map(({ percent }) => percent))).toBe(93);
});

test("one sample makes no line", () => {
  expect(series([sample(10, 20)], "cpu_percent")).toEqual([]);
  expect(series([], "cpu_percent")).toEqual([]);
});
