import { useInterval } from "@mantine/hooks";
import { useState } from "react";

import { countDown, type Countdown } from "@/lib/eta";

const TICK = 500; // milliseconds

interface Told {
  told: number;
  at: number;
  shown: Countdown;
}

/** Seconds left, from what the server says each time; null as long as it says nothing. */
export function useCountdown(told: number | null | undefined): number | null {
  const [state, setState] = useState<Told | null>(null);
  const tick = (before: Told | null): Told | null => {
    if (told === null || told === undefined) return null;
    const now = Date.now();
    const at = before?.told === told ? before.at : now;
    return { told, at, shown: countDown(before?.shown ?? null, told, at, now) };
  };
  useInterval(() => setState(tick), TICK, { autoInvoke: true });
  return state?.shown.left ?? told ?? null;
}
