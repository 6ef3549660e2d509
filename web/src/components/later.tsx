import { useDeferredValue, type ReactNode } from "react";

/** What is below the first screen: drawn right after the rest, in pieces between which the page answers. */
export function Later({ children }: { children: ReactNode }) {
  return useDeferredValue(true, false) ? children : null;
}
