import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { ListVideo } from "lucide-react";

import type { Feature } from "@/lib/feature";
import { fetched } from "@/lib/fetched";
import { rootRoute } from "@/lib/root-route";

import "./texts";

const route = createRoute({
  getParentRoute: () => rootRoute,
  path: "/queue",
  component: lazyRouteComponent(
    fetched(() => import("./queue-page")),
    "QueuePage",
  ),
});

export const queueRoutes = [route] as const;

export const queueFeature: Feature = { id: "queue", to: "/queue", icon: ListVideo, key: "q" };
