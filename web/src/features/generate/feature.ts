import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { Clapperboard } from "lucide-react";

import type { Feature } from "@/lib/feature";
import { fetched } from "@/lib/fetched";
import { rootRoute } from "@/lib/root-route";

import "./texts";

const route = createRoute({
  getParentRoute: () => rootRoute,
  path: "/",
  component: lazyRouteComponent(
    fetched(() => import("./generate-page")),
    "GeneratePage",
  ),
});

export const generateRoutes = [route] as const;

export const generateFeature: Feature = { id: "generate", to: "/", icon: Clapperboard, key: "c" };
