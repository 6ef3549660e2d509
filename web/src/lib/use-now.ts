import { useInterval } from "@mantine/hooks";
import { useState } from "react";

/** Milliseconds since 1970, again every so often. */
export function useNow(every = 1000): number {
  const [now, setNow] = useState(() => Date.now());
  useInterval(() => setNow(Date.now()), every, { autoInvoke: true });
  return now;
}
