import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { Film } from "lucide-react";

import type { Feature } from "@/lib/feature";
import { fetched } from "@/lib/fetched";
import { rootRoute } from "@/lib/root-route";

import { searchOf } from "./search";

import "./texts";

const route = createRoute({
  getParentRoute: () => rootRoute,
  path: "/gallery",
  validateSearch: searchOf,
  component: lazyRouteComponent(
    fetched(() => import("./gallery-page")),
    "GalleryPage",
  ),
});

export const galleryRoutes = [route] as const;

export const galleryFeature: Feature = { id: "gallery", to: "/gallery", icon: Film, key: "g" };
