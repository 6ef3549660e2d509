/** The video that is being thought up: kept in the browser until it is made, and after. */
import { create } from "zustand";

import type {
  LoraBody,
  ModelView,
  PictureView,
  PlanBody,
  SizeView,
  Submit,
  TaskView,
} from "@/api/types";
import { framesFor, legal } from "@/lib/sizes";
import { load, save } from "@/lib/storage";

const KEY = "wanvideo.draft";

/** null: the model's default, whichever model it is. */
export interface Draft {
  prompt: string;
  negative: string | null;
  image: PictureView | null;
  endImage: PictureView | null;
  model: string | null;
  variant: string | null;
  size: SizeView | null;
  seconds: number | null;
  tier: NonNullable<Submit["tier"]> | null;
  steps: number | null;
  guidance: number | null;
  guidanceLow: number | null;
  shift: number | null;
  solver: NonNullable<Submit["solver"]> | null;
  stepCache: number | null;
  seed: number | null;
  count: number;
  loras: LoraBody[];
  fallback: NonNullable<Submit["fallback"]> | null;
}

export const emptyDraft: Draft = {
  prompt: "",
  negative: null,
  image: null,
  endImage: null,
  model: null,
  variant: null,
  size: null,
  seconds: null,
  tier: null,
  steps: null,
  guidance: null,
  guidanceLow: null,
  shift: null,
  solver: null,
  stepCache: null,
  seed: null,
  count: 1,
  loras: [],
  fallback: null,
};

interface DraftStore {
  draft: Draft;
  change: (changes: Partial<Draft>) => void;
  /** Begin anew from these; what they leave out is as in an empty draft. */
  replace: (draft: Partial<Draft>) => void;
}

/** What was kept, field by field: a version of the app that knew other fields does no harm. */
function kept(): Draft {
  const found = load(KEY);
  if (typeof found !== "object" || found === null) return emptyDraft;
  const known = Object.entries(found).filter(([name]) => name in emptyDraft);
  return { ...emptyDraft, ...(Object.fromEntries(known) as Partial<Draft>) };
}

export const useDraft = create<DraftStore>((set, get) => {
  const put = (draft: Draft) => {
    set({ draft });
    save(KEY, draft);
  };
  return {
    draft: kept(),
    change: (changes) => put({ ...get().draft, ...changes }),
    replace: (draft) => put({ ...emptyDraft, ...draft }),
  };
});

/** One value of the draft, and how to change it. */
export function useDraftField<K extends keyof Draft>(
  name: K,
): [Draft[K], (value: Draft[K]) => void] {
  const value = useDraft((store) => store.draft[name]);
  const change = useDraft((store) => store.change);
  return [value, (next) => change({ [name]: next })];
}

export type Mode = "text" | "image" | "ends";

export function modeOf(draft: Pick<Draft, "image" | "endImage">): Mode {
  if (draft.endImage !== null) return "ends";
  return draft.image === null ? "text" : "image";
}

/** Whether a model can make a video from these inputs. */
export function takes(model: ModelView, mode: Mode): boolean {
  if (mode === "text") return !model.image_required;
  return model.inputs.includes(mode === "image" ? "image" : "end_image");
}

/** The model that a draft means: the named one if it takes the inputs, else the best that is ready, a demo last. */
export function modelOf(draft: Draft, models: readonly ModelView[]): ModelView | undefined {
  const mode = modeOf(draft);
  const fitting = models.filter((model) => takes(model, mode));
  const named = fitting.find((model) => model.id === draft.model);
  const ready = fitting.filter((model) => model.state === "ready");
  return named ?? ready.find((model) => !model.demo) ?? ready[0] ?? fitting[0];
}

/** The size as the model can do it; null: as the picture is. */
export function sizeOf(draft: Draft, model: ModelView): SizeView | null {
  if (draft.size !== null) return legal(model, draft.size.width, draft.size.height);
  if (draft.image !== null) return null;
  return { width: model.defaults.width, height: model.defaults.height };
}

export function framesOf(draft: Draft, model: ModelView): number {
  return draft.seconds === null ? model.defaults.frames : framesFor(model, draft.seconds);
}

/** Without what is null. */
function said<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const known = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(known) as { [K in keyof T]?: NonNullable<T[K]> };
}

const resolution = (size: SizeView | null) =>
  size === null ? null : `${size.width}x${size.height}`;

/** The size that a picture will get without being asked: its shape, in the model's usual area. */
export function sizeLike(picture: PictureView, model: ModelView): SizeView {
  const { width, height } = model.defaults;
  const ratio = picture.width / picture.height;
  return legal(model, Math.sqrt(width * height * ratio), Math.sqrt((width * height) / ratio));
}

export function toPlan(draft: Draft, model: ModelView): PlanBody {
  const size = sizeOf(draft, model) ?? (draft.image && sizeLike(draft.image, model));
  return {
    model_type: model.id,
    image: draft.image !== null,
    loras: model.takes_loras ? draft.loras : [],
    ...said({
      variant: draft.variant,
      resolution: resolution(size),
      frames: draft.seconds === null ? null : framesOf(draft, model),
      steps: draft.steps,
      tier: draft.tier,
      step_cache: draft.stepCache,
    }),
  };
}

/** What is sent: the model, and what was chosen. */
export function toSubmit(draft: Draft, model: ModelView): Submit {
  return {
    prompt: draft.prompt.trim(),
    model_type: model.id,
    count: draft.count,
    loras: model.takes_loras ? draft.loras : [],
    ...said({
      variant: draft.variant,
      negative_prompt: draft.negative,
      resolution: resolution(sizeOf(draft, model)),
      frames: draft.seconds === null ? null : framesOf(draft, model),
      steps: draft.steps,
      guidance: draft.guidance,
      guidance_low: draft.guidanceLow,
      shift: draft.shift,
      solver: draft.solver,
      step_cache: draft.stepCache,
      seed: draft.seed,
      tier: draft.tier,
      fallback: draft.fallback,
      image_name: draft.image?.name,
      end_image_name: draft.endImage?.name,
    }),
  };
}

/** A draft from what a file or a job says that it was made with: the fields of a request. */
export function fromRequest(
  request: Partial<Submit>,
  models: readonly ModelView[],
): Partial<Draft> {
  const model = models.find((each) => each.id === request.model_type);
  const [width, height] = (request.resolution ?? "").split("x").map(Number);
  return said({
    prompt: request.prompt,
    negative: request.negative_prompt,
    model: request.model_type === "auto" ? null : request.model_type,
    variant: request.variant,
    size: width && height ? { width, height } : null,
    seconds: request.frames && model ? request.frames / model.defaults.fps : request.seconds,
    steps: request.steps,
    guidance: request.guidance,
    guidanceLow: request.guidance_low,
    shift: request.shift,
    solver: request.solver,
    stepCache: request.step_cache,
    seed: request.seed,
    tier: request.tier,
    fallback: request.fallback,
    loras: request.loras,
  });
}

/** A draft from a job: what was asked for, but its pictures. */
export function fromTask(task: TaskView, models: readonly ModelView[]): Partial<Draft> {
  const { model, seed, ...asked } = task;
  // A job says its settings by the names that a request has for them.
  return fromRequest({ ...asked, model_type: model, seed } as Partial<Submit>, models);
}

/** What a plan's alternative or a failure's suggestion changes. Unknown fields are passed over. */
export function patched(
  draft: Draft,
  patch: Readonly<Record<string, unknown>>,
  models: readonly ModelView[],
): Draft {
  const model = modelOf(draft, models);
  const changes = fromRequest(
    { model_type: draft.model ?? model?.id, ...patch } as Partial<Submit>,
    models,
  );
  return { ...draft, ...changes };
}
