import {
  infiniteQueryOptions,
  queryOptions,
  useMutation,
  useQueryClient,
} from "@tanstack/react-query";
import { create } from "zustand";

import { api, unwrap } from "@/api/client";
import { keys } from "@/api/queries";

import type { Search } from "./search";

const FIRST = 60; // videos, which are there at once
const MORE = 500; // with each further question: what changes has all of them asked again
const at = (id: string) => ({ params: { path: { task_id: id } } });

/** Finished videos, newest first. */
export const videosQuery = ({ text, model, favourite }: Search) =>
  infiniteQueryOptions({
    queryKey: [...keys.outputs, { text, model, favourite }] as const,
    queryFn: ({ pageParam, signal }) =>
      unwrap(
        api.GET("/api/v1/outputs", {
          params: {
            query: {
              limit: pageParam === null ? FIRST : MORE,
              ...(pageParam !== null && { cursor: pageParam }),
              ...(text !== undefined && { text }),
              ...(model !== undefined && { model }),
              ...(favourite !== undefined && { favourite }),
            },
          },
          signal,
        }),
      ),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next_cursor ?? null,
  });

export const videoQuery = (id: string) =>
  queryOptions({
    queryKey: [...keys.outputs, "one", id] as const,
    queryFn: ({ signal }) => unwrap(api.GET("/api/v1/outputs/{task_id}", { ...at(id), signal })),
    retry: false,
  });

/** What a video was made with. */
export const settingsQuery = (id: string) =>
  queryOptions({
    queryKey: [...keys.outputs, "settings", id] as const,
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/outputs/{task_id}/settings", { ...at(id), signal })),
    staleTime: Infinity,
  });

export function useFavourite() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, favourite }: { id: string; favourite: boolean }) =>
      unwrap(api.POST("/api/v1/queue/{task_id}/favourite", { ...at(id), body: { favourite } })),
    onSettled: () => client.invalidateQueries({ queryKey: keys.outputs }),
  });
}

/** The same with another seed. */
export function useVary() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      unwrap(
        api.POST("/api/v1/queue/{task_id}/rerun", {
          ...at(id),
          body: { changes: {}, keep_seed: false, count: 1 },
        }),
      ),
    onSettled: () => client.invalidateQueries({ queryKey: keys.queue }),
  });
}

interface Leaving {
  ids: ReadonlySet<string>;
  put: (id: string, leaving: boolean) => void;
}

/** Videos that the user deleted a moment ago: not shown, and still there. */
export const useLeaving = create<Leaving>((set) => ({
  ids: new Set(),
  put: (id, leaving) =>
    set(({ ids }) => {
      const next = new Set(ids);
      if (leaving) next.add(id);
      else next.delete(id);
      return { ids: next };
    }),
}));

export const REGRET = 7000; // milliseconds in which a deletion can be taken back

/** Delete after a while. Returns how to take it back; a page that is closed before deletes nothing. */
export function useDelete(): (id: string) => () => void {
  const client = useQueryClient();
  const put = useLeaving((store) => store.put);
  const remove = useMutation({
    mutationFn: (id: string) => unwrap(api.DELETE("/api/v1/outputs/{task_id}", at(id))),
    onSettled: async (_message, _error, id) => {
      await client.invalidateQueries({ queryKey: keys.outputs });
      put(id, false);
    },
  });
  return (id) => {
    put(id, true);
    const timer = setTimeout(() => remove.mutate(id), REGRET);
    return () => {
      clearTimeout(timer);
      put(id, false);
    };
  };
}
