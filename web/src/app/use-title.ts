import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";

import { queueQuery } from "@/api/queries";
import type { QueueView } from "@/api/types";

const NAME = "wanvideo";

function running(queue: QueueView): number | null {
  return queue.tasks.find((task) => task.status === "processing")?.progress ?? null;
}

/** Progress in the title of the tab: "42 % · wanvideo". */
export function useTitle(): void {
  const { data: percent = null } = useQuery({ ...queueQuery, select: running });
  useEffect(() => {
    document.title = percent === null ? NAME : `${percent} % · ${NAME}`;
  }, [percent]);
}
