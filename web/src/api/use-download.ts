import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, unwrap } from "@/api/client";
import { keys } from "@/api/queries";

/** Ask again for everything that files of models change. */
export function useModelsChanged(): () => Promise<void> {
  const client = useQueryClient();
  return async () => {
    await Promise.all(
      [keys.models, keys.downloads, ["plan"]].map((queryKey) =>
        client.invalidateQueries({ queryKey }),
      ),
    );
  };
}

/** Begin to download a model; null: in the form that suits this computer. */
export function useDownload(id: string) {
  const onSettled = useModelsChanged();
  return useMutation({
    mutationFn: (variant: string | null) =>
      unwrap(
        api.POST("/api/v1/models/download", {
          body: { model_type: id, variant, priority: 0, force_redownload: false },
        }),
      ),
    onSettled,
  });
}
