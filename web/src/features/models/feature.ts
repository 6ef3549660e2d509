import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { Boxes } from "lucide-react";

import type { Feature } from "@/lib/feature";
import { fetched } from "@/lib/fetched";
import { rootRoute } from "@/lib/root-route";

import "./texts";

const route = createRoute({
  getParentRoute: () => rootRoute,
  path: "/models",
  component: lazyRouteComponent(
    fetched(() => import("./models-page")),
    "ModelsPage",
  ),
});

export const modelsRoutes = [route] as const;

export const modelsFeature: Feature = { id: "models", to: "/models", icon: Boxes, key: "m" };
