import { beforeEach, expect, test, vi } from "vitest";

import type { PictureView } from "@/api/types";
import {
  emptyDraft,
  fromRequest,
  modeOf,
  modelOf,
  patched,
  toPlan,
  toSubmit,
  type Draft,
} from "@/lib/draft";
import { model } from "@/lib/models.fixture";

const text = model();
const picture: PictureView = { name: "a.png", width: 640, height: 640, url: "/a.png" };
const ends = model({
  id: "i2v-A14B",
  inputs: ["text", "image", "end_image"],
  image_required: true,
});
const demo = model({ id: "t2v-A14B-demo", demo: true, experts: 1 });
const all = [demo, text, ends];
const draft = (changes: Partial<Draft> = {}): Draft => ({
  ...emptyDraft,
  prompt: "a heron",
  ...changes,
});

test("what is given decides the kind of video", () => {
  expect(modeOf(draft())).toBe("text");
  expect(modeOf(draft({ image: picture }))).toBe("image");
  expect(modeOf(draft({ image: picture, endImage: picture }))).toBe("ends");
});

test("the model takes what is given; a real one that is ready comes first", () => {
  expect(modelOf(draft(), all)?.id).toBe("t2v-A14B");
  expect(modelOf(draft({ model: "t2v-A14B-demo" }), all)?.id).toBe("t2v-A14B-demo");
  expect(modelOf(draft({ model: "t2v-A14B-demo", image: picture }), all)?.id).toBe("i2v-A14B");
  expect(modelOf(draft(), [demo, { ...text, state: "missing" }])?.id).toBe("t2v-A14B-demo");
});

test("only what was chosen is sent", () => {
  expect(toSubmit(draft(), text)).toEqual({
    prompt: "a heron",
    model_type: "t2v-A14B",
    resolution: "832x480",
    count: 1,
    loras: [],
  });
});

test("a video from a picture has its shape, unless another one is chosen", () => {
  expect(toSubmit(draft({ image: picture }), ends)).not.toHaveProperty("resolution");
  expect(toPlan(draft({ image: picture }), ends).resolution).toBe("624x624");
  expect(toPlan(draft({ stepCache: 0.05 }), ends).step_cache).toBe(0.05);
  const loras = [{ name: "ink", strength: 1 }];
  expect(toPlan(draft({ loras }), ends).loras).toEqual(loras);
  const wide = draft({ image: picture, size: { width: 832, height: 480 } });
  expect(toSubmit(wide, ends)).toMatchObject({ resolution: "832x480", image_name: "a.png" });
});

test("a negative prompt that is empty is sent as empty", () => {
  expect(toSubmit(draft({ negative: "" }), text)).toMatchObject({ negative_prompt: "" });
});

test("what a file says becomes the draft that makes it again", () => {
  const asked = draft({
    seconds: 33 / 16,
    steps: 8,
    seed: 7,
    guidance: 3.5,
    model: "t2v-A14B",
    negative: "",
  });
  const request = toSubmit(asked, text);
  expect({ ...emptyDraft, ...fromRequest(request, all) }).toEqual({
    ...asked,
    size: { width: 832, height: 480 },
  });
});

test("a suggestion changes what it names, and nothing else", () => {
  const before = draft({ steps: 8, seed: 3 });
  const after = patched(before, { resolution: "480x832", frames: 41, tier: "fast" }, all);
  expect(after).toEqual({
    ...before,
    model: "t2v-A14B",
    size: { width: 480, height: 832 },
    seconds: 41 / 16,
    tier: "fast",
  });
});

beforeEach(() => {
  localStorage.clear();
  vi.resetModules();
});

test("the draft outlives a reload, whatever an older app has kept", async () => {
  const first = await import("@/lib/draft");
  first.useDraft.getState().change({ prompt: "typed" });
  vi.resetModules();
  const second = await import("@/lib/draft");
  expect(second.useDraft.getState().draft.prompt).toBe("typed");
  localStorage.setItem("wanvideo.draft", '{"prompt": "old", "colour": "red"}');
  vi.resetModules();
  const third = await import("@/lib/draft");
  expect(third.useDraft.getState().draft).toEqual({ ...emptyDraft, prompt: "old" });
});
