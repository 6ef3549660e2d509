import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import { api, ApiError, unwrap } from "@/api/client";
import { keys } from "@/api/queries";
import type { Submit, Submitted } from "@/api/types";

interface Asked {
  request: Submit;
  /** The same for every try of one press of the button: so a video is never made twice. */
  key: string;
}

/** Where pages come over plain HTTP, browsers have no crypto.randomUUID. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function useSubmit() {
  const { t } = useTranslation("generate");
  const client = useQueryClient();
  return useMutation<Submitted, Error, Asked>({
    mutationFn: ({ request, key }) =>
      unwrap(
        api.POST("/api/v1/generation/submit", {
          body: request,
          params: { header: { "idempotency-key": key } },
        }),
      ),
    retry: (count, error) => count < 5 && error instanceof ApiError && error.status === 0,
    onSuccess: ({ tasks, adjustments }) => {
      void client.invalidateQueries({ queryKey: keys.queue });
      notifications.show({
        color: "ember",
        title: t("submitted", { count: tasks.length }),
        message: adjustments.map(({ reason }) => reason).join(" · "),
      });
    },
  });
}
