import type { ModelView, PlanView } from "@/api/types";

/** How near a video comes to what the model can do, as far as that is known; each has a text of its name. */
export type Quality =
  | { name: "demo" | "official" | "tilesUnknown" }
  | { name: "steps"; steps: number }
  | { name: "stored"; precision: string }
  | { name: "fast" | "tiles" | "setting"; setting: string; psnr: number };

const OFFICIAL = ["fp32", "bf16"]; // how the weights are published and computed with
const MEASURED = { fast: "fast", "autoencoder in tiles": "tiles" } as const;

/** What a plan does to the picture: only what was measured has a number. */
export function qualityOf(model: ModelView, plan: PlanView): Quality[] {
  if (model.demo) return [{ name: "demo" }];
  const measured = plan.quality.map(({ setting, psnr_db }): Quality => ({
    name: setting in MEASURED ? MEASURED[setting as keyof typeof MEASURED] : "setting",
    setting,
    psnr: psnr_db,
  }));
  const found = [...measured];
  if (plan.tiles != null && !measured.some(({ name }) => name === "tiles"))
    found.push({ name: "tilesUnknown" });
  if (!OFFICIAL.includes(plan.precision))
    found.unshift({ name: "stored", precision: plan.precision });
  if (model.preset_of != null) found.unshift({ name: "steps", steps: plan.steps });
  return found.length > 0 ? found : [{ name: "official" }];
}
