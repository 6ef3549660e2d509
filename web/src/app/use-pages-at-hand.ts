import { useRouter } from "@tanstack/react-router";
import { useEffect } from "react";

import { features } from "@/app/features";

const QUIET = 1500; // milliseconds after the start, in which the first page has the line to itself

/** Fetch all pages early: so each opens at once, and also while the server is away. */
export function usePagesAtHand(): void {
  const router = useRouter();
  useEffect(() => {
    const timer = setTimeout(() => {
      for (const { to } of features) void router.preloadRoute({ to });
    }, QUIET);
    return () => clearTimeout(timer);
  }, [router]);
}
