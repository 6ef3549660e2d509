import { galleryFeature, galleryRoutes } from "@/features/gallery/feature";
import { generateFeature, generateRoutes } from "@/features/generate/feature";
import { lorasFeature, lorasRoutes } from "@/features/loras/feature";
import { modelsFeature, modelsRoutes } from "@/features/models/feature";
import { queueFeature, queueRoutes } from "@/features/queue/feature";
import { systemFeature, systemRoutes } from "@/features/system/feature";
import type { Feature, FeatureId } from "@/lib/feature";

/** In the order of the navigation. */
export const features: readonly Feature[] = [
  generateFeature,
  queueFeature,
  galleryFeature,
  modelsFeature,
  lorasFeature,
  systemFeature,
];

/** Where the texts of the app itself are, and those of the navigation. */
export const TEXTS = [
  "app",
  "generate",
  "queue",
  "gallery",
  "models",
  "loras",
  "system",
] as const satisfies readonly (FeatureId | "app")[];

export const featureRoutes = [
  ...generateRoutes,
  ...queueRoutes,
  ...galleryRoutes,
  ...modelsRoutes,
  ...lorasRoutes,
  ...systemRoutes,
] as const;
