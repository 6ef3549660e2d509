import { queryOptions, useMutation } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import { keys } from "@/api/queries";
import { useModelsChanged } from "@/api/use-download";
import type { AddBody, ManageBody } from "@/api/types";

const at = (id: string) => ({ path: { model_type: id } });

/** Downloads since the server started, by model; kept up to date by the socket. */
export const downloadsQuery = queryOptions({
  queryKey: keys.downloads,
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/models/download/progress", { signal })),
});

/** How the model did on this computer. */
export const performanceQuery = (id: string) =>
  queryOptions({
    queryKey: [...keys.models, "performance", id] as const,
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/wan-models/performance/{model_type}", { params: at(id), signal })),
  });

/** What would be gone if the model was deleted. */
export const removalQuery = (id: string) =>
  queryOptions({
    queryKey: ["removal", id] as const,
    queryFn: ({ signal }) =>
      unwrap(
        api.DELETE("/api/v1/models/{model_type}", {
          params: { ...at(id), query: { dry_run: true } },
          signal,
        }),
      ),
    staleTime: 0,
    gcTime: 0,
    retry: false,
  });

export function useAddFiles() {
  const onSettled = useModelsChanged();
  return useMutation({
    mutationFn: (body: AddBody) => unwrap(api.POST("/api/v1/models/add", { body })),
    onSettled,
  });
}

/** Files have come or gone by other ways than through the server. */
export function useLookAgain() {
  const onSettled = useModelsChanged();
  return useMutation({
    mutationFn: () => unwrap(api.POST("/api/v1/models/refresh")),
    onSettled,
  });
}

export function useManage(id: string) {
  const onSettled = useModelsChanged();
  return useMutation({
    mutationFn: (action: ManageBody["action"]) =>
      unwrap(api.POST("/api/v1/models/download/manage", { body: { model_id: id, action } })),
    onSettled,
  });
}

/** Hashes every file, which takes a while. */
export function useVerify(id: string) {
  const onSettled = useModelsChanged();
  return useMutation({
    mutationFn: () =>
      unwrap(
        api.POST("/api/v1/models/verify/{model_type}", {
          params: { ...at(id), query: { deep: true } },
        }),
      ),
    onSettled,
  });
}

export function useRepair(id: string) {
  const onSettled = useModelsChanged();
  return useMutation({
    mutationFn: () => unwrap(api.POST("/api/v1/models/repair/{model_type}", { params: at(id) })),
    onSettled,
  });
}

export function useRemove(id: string) {
  const onSettled = useModelsChanged();
  return useMutation({
    mutationFn: () =>
      unwrap(
        api.DELETE("/api/v1/models/{model_type}", {
          params: { ...at(id), query: { dry_run: false } },
        }),
      ),
    onSettled,
  });
}
