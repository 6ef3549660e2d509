import type { LucideIcon } from "lucide-react";

/** A part of the app, in a folder of its own: pages, texts, and a place in the navigation. */
export interface Feature {
  id: FeatureId;
  to: string;
  icon: LucideIcon;
  /** The second key of the shortcut that leads there: `g` and this. */
  key: string;
}

export type FeatureId = "generate" | "queue" | "gallery" | "models" | "loras" | "system";
