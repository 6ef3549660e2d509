import { createRootRoute } from "@tanstack/react-router";

/** The parent of all pages; what is drawn around them is the app's business. */
export const rootRoute = createRootRoute();
