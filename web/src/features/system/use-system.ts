import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import { keys } from "@/api/queries";
import type { Optimization, OptimizationBody } from "@/api/types";

const limitsKey = ["limits"] as const;
const workersKey = ["workers"] as const;
const gpusKey = ["gpus"] as const;

/** What the computer did in the last hours; asked for again, since only the newest sample is told. */
export const historyQuery = (hours: number) =>
  queryOptions({
    queryKey: ["history", hours] as const,
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/system/stats/history", { params: { query: { hours } }, signal })),
    refetchInterval: hours > 1 ? 60_000 : 10_000,
  });

export const gpusQuery = queryOptions({
  queryKey: gpusKey,
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/system/gpu", { signal })),
  refetchInterval: 10_000,
});

export const workersQuery = queryOptions({
  queryKey: workersKey,
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/system/workers", { signal })),
  refetchInterval: 3000,
});

/** Machines with the same queue, as they last described themselves. */
export const machinesQuery = queryOptions({
  queryKey: ["machines"] as const,
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/system/nodes", { signal })),
  refetchInterval: 5000,
});

export const queueByModelQuery = queryOptions({
  queryKey: [...keys.queue, "models"] as const,
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/queue/models", { signal })),
  refetchInterval: 3000,
});

/** Let a worker that was taken out have jobs again. */
export function useReturnWorker() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (name: string) =>
      unwrap(api.POST("/api/v1/system/workers/{name}/return", { params: { path: { name } } })),
    onSettled: () => client.invalidateQueries({ queryKey: workersKey }),
  });
}

/** Let a worker go, when its job is done. */
export function useRemoveWorker() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (name: string) =>
      unwrap(api.DELETE("/api/v1/system/workers/{name}", { params: { path: { name } } })),
    onSettled: () => client.invalidateQueries({ queryKey: workersKey }),
  });
}

/** Checks of the installation, the hardware and the versions. */
export const diagnosticsQuery = queryOptions({
  queryKey: ["diagnostics"] as const,
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/system/diagnostics", { signal })),
});

/** What was measured here in a quarter of a year. */
export const speedsQuery = queryOptions({
  queryKey: [...keys.models, "analytics"] as const,
  queryFn: ({ signal }) =>
    unwrap(
      api.GET("/api/v1/models/analytics", { params: { query: { time_period_days: 90 } }, signal }),
    ),
});

/** The limits that every plan obeys. */
export const limitsQuery = queryOptions({
  queryKey: limitsKey,
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/system/optimization", { signal })),
});

export function useSetLimits() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: OptimizationBody) =>
      unwrap(api.POST("/api/v1/system/optimization", { body })),
    onSuccess: (limits) => client.setQueryData<Optimization>(limitsKey, limits),
    onSettled: () => client.invalidateQueries({ queryKey: ["plan"] }),
  });
}

const MEASURING = [4000, 8000, 16_000]; // milliseconds after which it is looked whether the workers are done

/** Have workers that wait measure how fast the computer is; plans tell times by it. */
export function useCalibrate() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => unwrap(api.POST("/api/v1/system/calibration")),
    onSuccess: () => {
      for (const after of MEASURING) {
        setTimeout(() => {
          for (const queryKey of [["diagnostics"], keys.hardware, ["plan"]])
            void client.invalidateQueries({ queryKey });
        }, after);
      }
    },
  });
}

/** Have workers that wait give their GPU memory back. */
export function useRelease() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => unwrap(api.POST("/api/v1/system/memory/release")),
    onSettled: async () => {
      await Promise.all(
        [gpusKey, keys.stats, keys.models, ["plan"]].map((queryKey) =>
          client.invalidateQueries({ queryKey }),
        ),
      );
    },
  });
}
