import { spawnSync } from "node:child_process";
import { join } from "node:path";

import type { Locator } from "@playwright/test";

import { ENV, PYTHON } from "./server";

export interface Seen {
  background: string | null;
  colour: string | null;
  shape: string | null;
  motion: string | null;
  size: string | null;
  /** "upright" or "slanted". */
  style: string | null;
  frames: number;
}

interface Decoded {
  frames: number;
  width: number;
  height: number;
  rgb: string;
}

/** What a video shows: its frames are decoded by the browser, and read by the judge. */
export async function watch(video: Locator, fps: number): Promise<Seen> {
  const decoded = await video.evaluate(async (element, rate): Promise<Decoded> => {
    const clip = element as HTMLVideoElement;
    clip.pause();
    if (clip.readyState < 1)
      await new Promise((done) => clip.addEventListener("loadedmetadata", done));
    const { videoWidth: width, videoHeight: height, duration } = clip;
    const frames = Math.round(duration * rate);
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const all = new Uint8Array(frames * width * height * 3);
    for (let frame = 0; frame < frames; frame += 1) {
      const there = new Promise((done) => clip.addEventListener("seeked", done, { once: true }));
      clip.currentTime = (frame + 0.5) / rate;
      await there;
      context?.drawImage(clip, 0, 0);
      const pixels = context?.getImageData(0, 0, width, height).data ?? new Uint8ClampedArray();
      const start = frame * width * height * 3;
      for (let pixel = 0; pixel < width * height; pixel += 1) {
        for (let part = 0; part < 3; part += 1)
          all[start + pixel * 3 + part] = pixels[pixel * 4 + part] ?? 0;
      }
    }
    let text = "";
    for (let at = 0; at < all.length; at += 8192)
      text += String.fromCharCode(...all.subarray(at, at + 8192));
    return { frames, width, height, rgb: btoa(text) };
  }, fps);
  const { frames, height, width, rgb } = decoded;
  const told = spawnSync(
    PYTHON,
    [join(import.meta.dirname, "judge.py"), String(frames), String(height), String(width)],
    { input: Buffer.from(rgb, "base64"), env: ENV, encoding: "utf8" },
  );
  if (told.status !== 0) throw new Error(told.stderr);
  return JSON.parse(told.stdout) as Seen;
}
