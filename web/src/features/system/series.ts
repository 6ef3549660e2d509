import type { Stats } from "@/api/types";

export type Measure =
  "gpu_percent" | "vram_percent" | "cpu_percent" | "ram_percent" | "disk_percent";

/** Percent at a time between 0 (the oldest) and 1 (the newest). */
export interface Point {
  at: number;
  percent: number;
}

const FEW = 240; // points that a line of a chart can show

/** One measure over time. Of samples that lie too close together the highest is kept, so that peaks stay. */
export function series(stats: readonly Stats[], measure: Measure): Point[] {
  const first = Date.parse(stats[0]?.timestamp ?? "");
  const span = Date.parse(stats.at(-1)?.timestamp ?? "") - first;
  if (!(span > 0)) return [];
  const highest = new Map<number, Point>();
  for (const sample of stats) {
    const at = (Date.parse(sample.timestamp) - first) / span;
    const place = Math.min(FEW - 1, Math.floor(at * FEW));
    const percent = Math.min(100, Math.max(0, sample[measure]));
    const before = highest.get(place);
    if (before === undefined || percent > before.percent) highest.set(place, { at, percent });
  }
  return [...highest.values()].sort((a, b) => a.at - b.at);
}

/** The path of an SVG line, in a picture of this size. */
export function lineOf(points: readonly Point[], width: number, height: number): string {
  return points
    .map(({ at, percent }, place) => {
      const x = (at * width).toFixed(1);
      const y = ((1 - percent / 100) * height).toFixed(1);
      return `${place === 0 ? "M" : "L"}${x} ${y}`;
    })
    .join("");
}
