import { QueryClient } from "@tanstack/react-query";

import { ApiError } from "@/api/client";

/** The socket says when something has changed; so answers stay good for long, and a server that is away is waited for. */
export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 60_000,
      networkMode: "always", // the server is often on this computer, whatever the browser thinks of the network
      retry: (count, error) =>
        count < 3 && error instanceof ApiError && (error.status === 0 || error.status >= 502),
    },
    mutations: { networkMode: "always" },
  },
});
