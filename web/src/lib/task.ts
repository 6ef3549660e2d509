import type { TaskView } from "@/api/types";

/** Width divided by height. */
export function ratioOf({ resolution }: Pick<TaskView, "resolution">): number {
  const [width, height] = resolution.split("x").map(Number);
  return width && height ? width / height : 16 / 9;
}
