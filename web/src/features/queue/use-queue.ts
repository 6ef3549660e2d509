import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, follow, unwrap } from "@/api/client";
import { keys } from "@/api/queries";
import type { ActionCall, Changes, QueueView } from "@/api/types";

const at = (id: string) => ({ params: { path: { task_id: id } } });

/** What can be done with one job, by name. */
const DEEDS = {
  cancel: (id: string) => unwrap(api.POST("/api/v1/queue/{task_id}/cancel", at(id))),
  hold: (id: string) => unwrap(api.POST("/api/v1/queue/{task_id}/hold", at(id))),
  release: (id: string) => unwrap(api.POST("/api/v1/queue/{task_id}/release", at(id))),
  retry: (id: string) => unwrap(api.POST("/api/v1/queue/{task_id}/retry", at(id))),
  remove: (id: string) => unwrap(api.DELETE("/api/v1/queue/{task_id}", at(id))),
  first: (id: string) =>
    unwrap(api.POST("/api/v1/queue/{task_id}/move", { ...at(id), body: { to: "first" } })),
} as const satisfies Record<string, (id: string) => Promise<unknown>>;

export type Deed = keyof typeof DEEDS;

function useRefresh(): () => Promise<void> {
  const client = useQueryClient();
  return () => client.invalidateQueries({ queryKey: keys.queue });
}

export function useDeed() {
  const onSettled = useRefresh();
  return useMutation<unknown, Error, { deed: Deed; id: string }>({
    mutationFn: ({ deed, id }) => DEEDS[deed](id),
    onSettled,
  });
}

/** What a failure suggests. */
export function useAdvice() {
  const onSettled = useRefresh();
  return useMutation({ mutationFn: (call: ActionCall) => follow(call), onSettled });
}

/** The same once more; with the same seed, or another one. */
export function useRerun(id: string) {
  const onSettled = useRefresh();
  return useMutation({
    mutationFn: (keepSeed: boolean) =>
      unwrap(
        api.POST("/api/v1/queue/{task_id}/rerun", {
          ...at(id),
          body: { changes: {}, keep_seed: keepSeed, count: 1 },
        }),
      ),
    onSettled,
  });
}

export function useEdit(id: string) {
  const onSettled = useRefresh();
  return useMutation({
    mutationFn: (changes: Partial<Changes>) =>
      unwrap(api.PATCH("/api/v1/queue/{task_id}", { ...at(id), body: changes })),
    onSettled,
  });
}

/** Another order, shown at once and taken back if the server refuses it. */
export function useReorder() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (ids: string[]) =>
      unwrap(api.POST("/api/v1/queue/reorder", { body: { task_ids: ids } })),
    onMutate: async (ids) => {
      await client.cancelQueries({ queryKey: keys.queue });
      const before = client.getQueryData<QueueView>(keys.queue);
      client.setQueryData<QueueView>(keys.queue, (queue) => queue && inOrder(queue, ids));
      return { before };
    },
    onError: (_error, _ids, kept) => client.setQueryData(keys.queue, kept?.before),
    onSettled: () => client.invalidateQueries({ queryKey: keys.queue }),
  });
}

/** The queue with these jobs in this order, in the places that they have together. */
export function inOrder(queue: QueueView, ids: readonly string[]): QueueView {
  const places = queue.tasks
    .filter((task) => ids.includes(task.id))
    .map((task) => task.position ?? 0)
    .sort((a, b) => a - b);
  return {
    ...queue,
    tasks: queue.tasks.map((task) => {
      const place = ids.indexOf(task.id);
      return place < 0 ? task : { ...task, position: places[place] ?? null };
    }),
  };
}

export function usePause() {
  const onSettled = useRefresh();
  return useMutation({
    mutationFn: (paused: boolean) =>
      unwrap(paused ? api.POST("/api/v1/queue/pause") : api.POST("/api/v1/queue/resume")),
    onSettled,
  });
}
