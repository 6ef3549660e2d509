/** Questions that several features ask. A feature's own stay in its folder. */
import { queryOptions, skipToken } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import type { Detail, LatentPreview, PlanBody } from "@/api/types";

export const keys = {
  queue: ["queue"] as const,
  task: (id: string) => ["task", id] as const,
  live: (id: string) => ["live", id] as const,
  models: ["models"] as const,
  loras: ["loras"] as const,
  outputs: ["outputs"] as const,
  downloads: ["downloads"] as const,
  health: ["health"] as const,
  stats: ["stats"] as const,
  hardware: ["hardware"] as const,
};

/** What runs, waits and was done lately; kept up to date by the socket. */
export const queueQuery = queryOptions({
  queryKey: keys.queue,
  queryFn: ({ signal }) =>
    unwrap(api.GET("/api/v1/queue", { params: { query: { limit: 200 } }, signal })),
});

export const modelsQuery = queryOptions({
  queryKey: keys.models,
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/models", { signal })),
});

export const lorasQuery = queryOptions({
  queryKey: keys.loras,
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/lora/list", { signal })),
});

export const healthQuery = queryOptions({
  queryKey: keys.health,
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/system/health", { signal })),
});

/** Everything that happened to a job. */
export const jobEventsQuery = (id: string) =>
  queryOptions({
    queryKey: [...keys.task(id), "events"] as const,
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/v1/queue/{task_id}/events", {
          params: { path: { task_id: id }, query: { limit: 1000 } },
          signal,
        }),
      ),
    staleTime: 0,
  });

/** What the computer does at the moment; told anew each second to who subscribes to system_stats. */
export const statsQuery = queryOptions({
  queryKey: keys.stats,
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/system/stats", { signal })),
});

/** What the computer is, and what it is good for. */
export const hardwareQuery = queryOptions({
  queryKey: keys.hardware,
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/system/hardware/profile", { signal })),
});

/** What a video would take here. Answers stay good for as long as the free memory does. */
export const planQuery = (body: PlanBody | null) =>
  queryOptions({
    queryKey: ["plan", body] as const,
    queryFn:
      body === null
        ? skipToken
        : ({ signal }) => unwrap(api.POST("/api/v1/generation/plan", { body, signal })),
    staleTime: 30_000,
    retry: false,
  });

/** What a video begins with, and what counts most. */
export interface Use {
  from: "text" | "image";
  first: "quality" | "speed";
}

/** Which model this computer should make such videos with. */
export const adviceQuery = ({ from, first }: Use) =>
  queryOptions({
    queryKey: [...keys.models, "advice", from, first] as const,
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/v1/wan-models/recommend", {
          params: {
            query: {
              use_case: from,
              quality_priority: first === "quality" ? "high" : "low",
              speed_priority: first === "speed" ? "high" : "low",
            },
          },
          signal,
        }),
      ),
    staleTime: 30_000,
  });

/** What only the socket tells of a running job. */
export interface Live {
  detail?: Detail;
  preview?: LatentPreview;
}

export const liveQuery = (id: string) =>
  queryOptions<Live>({ queryKey: keys.live(id), queryFn: skipToken, staleTime: Infinity });
