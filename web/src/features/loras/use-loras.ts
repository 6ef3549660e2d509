import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import { sendFile, type Told } from "@/api/files";
import { keys } from "@/api/queries";
import type { LoraNotes } from "@/api/types";

/** What a LoRA takes of the GPU's memory. */
export const impactQuery = (name: string) =>
  queryOptions({
    queryKey: ["impact", name] as const,
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/lora/{name}/memory-impact", { params: { path: { name } }, signal })),
    retry: false,
  });

export function useUpload() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ file, told }: { file: File; told: Told }) =>
      sendFile("/api/v1/lora/upload", file, told),
    onSettled: () => client.invalidateQueries({ queryKey: keys.loras }),
  });
}

/** Which layers of a model a LoRA changes, and which of its tensors have no place there. */
export const keysQuery = (name: string, model: string) =>
  queryOptions({
    queryKey: ["lora-keys", name, model] as const,
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/v1/lora/{name}/keys", {
          params: { path: { name }, query: { model_type: model } },
          signal,
        }),
      ),
  });

export function useDescribe(name: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: LoraNotes) =>
      unwrap(api.PATCH("/api/v1/lora/{name}/notes", { params: { path: { name } }, body })),
    onSettled: () => client.invalidateQueries({ queryKey: keys.loras }),
  });
}

export function useRemove() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (name: string) =>
      unwrap(api.DELETE("/api/v1/lora/{name}", { params: { path: { name } } })),
    onSettled: () => client.invalidateQueries({ queryKey: keys.loras }),
  });
}
