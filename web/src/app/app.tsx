import { MantineProvider } from "@mantine/core";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";

import { LiveBridge } from "@/app/live-bridge";
import { Notices } from "@/app/notices";
import { queryClient } from "@/app/query-client";
import { router } from "@/app/router";
import { theme } from "@/app/theme";

/** Everything that is there once. */
export function App() {
  return (
    <MantineProvider theme={theme} defaultColorScheme="auto">
      <QueryClientProvider client={queryClient}>
        <LiveBridge>
          <Notices />
          <RouterProvider router={router} />
        </LiveBridge>
      </QueryClientProvider>
    </MantineProvider>
  );
}
