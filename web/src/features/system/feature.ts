import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { Gauge } from "lucide-react";

import type { Feature } from "@/lib/feature";
import { fetched } from "@/lib/fetched";
import { rootRoute } from "@/lib/root-route";

import "./texts";

const route = createRoute({
  getParentRoute: () => rootRoute,
  path: "/system",
  component: lazyRouteComponent(
    fetched(() => import("./system-page")),
    "SystemPage",
  ),
});

export const systemRoutes = [route] as const;

export const systemFeature: Feature = { id: "system", to: "/system", icon: Gauge, key: "s" };
