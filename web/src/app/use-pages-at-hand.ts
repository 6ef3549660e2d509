import { useQueryClient } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { useEffect } from "react";

import { modelsQuery } from "@/api/queries";
import { features } from "@/app/features";

const QUIET = 1500; // milliseconds after the start, in which the first page has the line to itself

/** Fetch all pages early, and the models that forms need: so each opens at once, and also while the server is away. */
export function usePagesAtHand(): void {
  const router = useRouter();
  const client = useQueryClient();
  useEffect(() => {
    const timer = setTimeout(() => {
      for (const { to } of features) void router.preloadRoute({ to });
      client.query(modelsQuery).catch(() => undefined); // who needs them asks again
    }, QUIET);
    return () => clearTimeout(timer);
  }, [router, client]);
}
