import { MantineProvider } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { Notifications } from "@mantine/notifications";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";

import { LiveBridge } from "@/app/live-bridge";
import { queryClient } from "@/app/query-client";
import { router } from "@/app/router";
import { theme } from "@/app/theme";

/** Everything that is there once. */
export function App() {
  const phone = useMediaQuery("(max-width: 48em)"); // where the bottom belongs to the thumb
  return (
    <MantineProvider theme={theme} defaultColorScheme="auto">
      <QueryClientProvider client={queryClient}>
        <LiveBridge>
          <Notifications position={phone ? "top-center" : "bottom-right"} limit={4} />
          <RouterProvider router={router} />
        </LiveBridge>
      </QueryClientProvider>
    </MantineProvider>
  );
}
