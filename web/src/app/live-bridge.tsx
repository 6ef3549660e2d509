import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, type ReactNode } from "react";

import { applyFrame } from "@/api/cache";
import { LiveContext } from "@/lib/live";
import { LiveSocket } from "@/lib/socket";

function address(): string {
  const { protocol, host } = window.location;
  return `${protocol === "https:" ? "wss" : "ws"}://${host}/ws`;
}

/** One socket for the whole app, and what it tells in the query cache. */
export function LiveBridge({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [socket] = useState(() => new LiveSocket(address()));
  useEffect(() => {
    const quiet = socket.onFrame((frame) => applyFrame(client, frame));
    const awake = () => {
      if (document.visibilityState === "visible") socket.hurry();
    };
    const start = setTimeout(socket.start); // strict mode takes the first mount back at once
    window.addEventListener("online", socket.hurry);
    document.addEventListener("visibilitychange", awake);
    return () => {
      clearTimeout(start);
      window.removeEventListener("online", socket.hurry);
      document.removeEventListener("visibilitychange", awake);
      quiet();
      socket.stop();
    };
  }, [socket, client]);
  return <LiveContext value={socket}>{children}</LiveContext>;
}
