import type { ModelView } from "@/api/types";

/** A model as the server describes it, for tests. */
export function model(changes: Partial<ModelView> = {}): ModelView {
  return {
    id: "t2v-A14B",
    model_type: "T2V-A14B",
    title: "Wan 2.2 T2V A14B",
    family: "wan",
    demo: false,
    inputs: ["text"],
    image_required: false,
    good_at: "",
    needs: "",
    licence: "",
    state: "ready",
    loaded: false,
    takes_loras: true,
    experts: 2,
    defaults: {
      width: 832,
      height: 480,
      frames: 81,
      fps: 16,
      steps: 40,
      shift: 12,
      guidance: 4,
      guidance_low: 3,
      negative_prompt: "blurred",
      solver: "unipc",
    },
    limits: {
      size_multiple: 16,
      min_side: 64,
      max_area: 1280 * 720,
      max_frames: 161,
      frame_step: 4,
      max_steps: 1000,
      max_guidance: 100,
      min_shift: 0.01,
      max_shift: 100,
      max_step_cache: 1,
    },
    usual_sizes: [
      { width: 832, height: 480 },
      { width: 480, height: 832 },
      { width: 1280, height: 720 },
      { width: 720, height: 1280 },
    ],
    variants: [],
    ...changes,
  };
}
