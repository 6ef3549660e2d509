import { createContext, use, useEffect, useEffectEvent, useSyncExternalStore } from "react";

import type { ServerFrame } from "@/api/types";
import type { Connection, LiveSocket, Topic } from "@/lib/socket";

export const LiveContext = createContext<LiveSocket | null>(null);

export function useLive(): LiveSocket {
  const socket = use(LiveContext);
  if (socket === null) throw new Error("useLive outside of <LiveContext>");
  return socket;
}

export function useConnection(): Connection {
  const socket = useLive();
  return useSyncExternalStore(socket.onChange, socket.connection);
}

/** Have the server send this, for as long as the component is there. */
export function useTopic(topic: Topic): void {
  const socket = useLive();
  useEffect(() => socket.subscribe(topic), [socket, topic]);
}

/** Hear every frame. */
export function useFrames(listener: (frame: ServerFrame) => void): void {
  const socket = useLive();
  const heard = useEffectEvent(listener);
  useEffect(() => socket.onFrame((frame) => heard(frame)), [socket]);
}
