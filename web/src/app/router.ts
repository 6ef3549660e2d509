import { createRouter } from "@tanstack/react-router";

import { ErrorPage } from "@/app/error-page";
import { featureRoutes } from "@/app/features";
import { NotFoundPage } from "@/app/not-found-page";
import { Shell } from "@/app/shell";
import { rootRoute } from "@/lib/root-route";

rootRoute.update({ component: Shell });

export const router = createRouter({
  routeTree: rootRoute.addChildren(featureRoutes),
  defaultPreload: "intent",
  defaultErrorComponent: ErrorPage,
  defaultNotFoundComponent: NotFoundPage,
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
