/** Which sizes and lengths a model can do, as things to choose from. */
import type { ModelView, SizeView } from "@/api/types";

export interface Shape {
  id: "wide" | "photo" | "square" | "portrait" | "tall";
  /** Width divided by height. */
  ratio: number;
}

export const SHAPES: readonly Shape[] = [
  { id: "wide", ratio: 16 / 9 },
  { id: "photo", ratio: 4 / 3 },
  { id: "square", ratio: 1 },
  { id: "portrait", ratio: 3 / 4 },
  { id: "tall", ratio: 9 / 16 },
];

/** How much detail: the shorter side of the usual sizes of about this area. */
export interface Detail {
  lines: number;
  area: number;
}

const ALIKE = 0.08; // of the ratio, within which a usual size counts as a shape

export function detailsOf(model: ModelView): Detail[] {
  const found = new Map<number, Detail>();
  for (const { width, height } of model.usual_sizes) {
    const lines = Math.min(width, height);
    if (!found.has(lines)) found.set(lines, { lines, area: width * height });
  }
  return [...found.values()].sort((a, b) => a.area - b.area);
}

/** The size for a shape and an amount of detail: a usual one, or else the largest legal one of about that area. */
export function sizeFor(model: ModelView, ratio: number, detail: Detail): SizeView {
  const usual = model.usual_sizes.find(
    ({ width, height }) =>
      Math.min(width, height) === detail.lines && Math.abs(width / height / ratio - 1) < ALIKE,
  );
  return usual ?? legal(model, Math.sqrt(detail.area * ratio), Math.sqrt(detail.area / ratio));
}

/** The nearest legal size that is no larger than the model allows. */
export function legal(model: ModelView, width: number, height: number): SizeView {
  const { size_multiple: step, min_side: least, max_area: most } = model.limits;
  const shrink = Math.min(1, Math.sqrt(most / (width * height)));
  const round = (side: number) => Math.max(least, Math.round((side * shrink) / step) * step);
  const size = { width: round(width), height: round(height) };
  while (size.width * size.height > most) {
    if (size.width >= size.height) size.width -= step;
    else size.height -= step;
  }
  return size;
}

export function detailOf(model: ModelView, size: SizeView): Detail | undefined {
  const area = size.width * size.height;
  return detailsOf(model).reduce<Detail | undefined>(
    (best, each) =>
      best === undefined || Math.abs(each.area - area) < Math.abs(best.area - area) ? each : best,
    undefined,
  );
}

export function shapeOf(size: SizeView): Shape {
  const ratio = size.width / size.height;
  const distance = (shape: Shape) => Math.abs(Math.log(shape.ratio / ratio));
  return SHAPES.reduce((best, each) => (distance(each) < distance(best) ? each : best));
}

/** The number of frames nearest to so many seconds. */
export function framesFor(model: ModelView, seconds: number): number {
  const { frame_step: step, max_frames: most } = model.limits;
  const frames = Math.round((seconds * model.defaults.fps - 1) / step) * step + 1;
  return Math.min(most, Math.max(1, frames));
}

/** Seconds that so many frames last. */
export function secondsOf(model: ModelView, frames: number): number {
  return frames / model.defaults.fps;
}
