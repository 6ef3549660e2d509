import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import { sendFile, type Told } from "@/api/files";
import { keys } from "@/api/queries";

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

export function useRemove() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (name: string) =>
      unwrap(api.DELETE("/api/v1/lora/{name}", { params: { path: { name } } })),
    onSettled: () => client.invalidateQueries({ queryKey: keys.loras }),
  });
}
