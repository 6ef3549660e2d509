import { Button } from "@mantine/core";
import type { ErrorComponentProps } from "@tanstack/react-router";
import { CircleAlert } from "lucide-react";
import { useTranslation } from "react-i18next";

import { MissingPage } from "@/app/missing-page";
import { EmptyState } from "@/components/empty-state";
import { PartMissing } from "@/lib/fetched";

/** Instead of a page that is not there, or has a bug; the rest of the app goes on. */
export function ErrorPage({ error, reset }: ErrorComponentProps) {
  return error instanceof PartMissing ? <MissingPage /> : <Crash error={error} reset={reset} />;
}

function Crash({ error, reset }: Pick<ErrorComponentProps, "error" | "reset">) {
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
