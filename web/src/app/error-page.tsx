import { Button } from "@mantine/core";
import type { ErrorComponentProps } from "@tanstack/react-router";
import { CircleAlert } from "lucide-react";
import { useTranslation } from "react-i18next";

import { EmptyState } from "@/components/empty-state";

/** A bug in a page; the rest of the app goes on. */
export function ErrorPage({ error, reset }: ErrorComponentProps) {
  const { t } = useTranslation("app");
  const message = error instanceof Error ? error.message : String(error);
  return (
    <EmptyState
      icon={CircleAlert}
      title={t("crash.title")}
      action={
        <Button mt="sm" variant="default" onClick={reset}>
          {t("crash.again")}
        </Button>
      }
    >
      {t("crash.text", { message })}
    </EmptyState>
  );
}
