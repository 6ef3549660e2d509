import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { Blend } from "lucide-react";

import type { Feature } from "@/lib/feature";
import { fetched } from "@/lib/fetched";
import { rootRoute } from "@/lib/root-route";

import "./texts";

const route = createRoute({
  getParentRoute: () => rootRoute,
  path: "/loras",
  component: lazyRouteComponent(
    fetched(() => import("./loras-page")),
    "LorasPage",
  ),
});

export const lorasRoutes = [route] as const;

export const lorasFeature: Feature = { id: "loras", to: "/loras", icon: Blend, key: "l" };
