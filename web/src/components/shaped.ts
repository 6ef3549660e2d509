import type { CSSProperties } from "react";

/** As wide as there is room, and never so tall that nothing else is seen. `ratio`: width divided by height. */
export function shaped(ratio: number): CSSProperties {
  return { aspectRatio: ratio, inlineSize: `min(100%, ${46 * ratio}dvh)`, marginInline: "auto" };
}
