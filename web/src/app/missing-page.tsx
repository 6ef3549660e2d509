import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { CloudOff } from "lucide-react";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";

import { healthQuery } from "@/api/queries";
import { EmptyState } from "@/components/empty-state";

const AGAIN = 2000; // milliseconds between looks for the server
const CALM = 60_000; // milliseconds in which the app is not loaded anew by itself more than once
const LOADED = "wanvideo.loaded-anew";

/** A part of the app is not there: the app is loaded anew as soon as the server can give it. */
export function MissingPage() {
  const { t } = useTranslation("app");
  const { isFetchedAfterMount, isSuccess, failureCount } = useQuery({
    ...healthQuery,
    staleTime: 0,
    retry: false,
    refetchInterval: AGAIN,
  });
  const back = isFetchedAfterMount && isSuccess && failureCount === 0;
  useEffect(() => {
    if (!back || Date.now() - Number(sessionStorage.getItem(LOADED)) < CALM) return;
    sessionStorage.setItem(LOADED, String(Date.now()));
    window.location.reload();
  }, [back]);
  return (
    <EmptyState
      icon={CloudOff}
      title={t("missing.title")}
      action={
        <Button mt="sm" variant="default" disabled={!back} onClick={() => window.location.reload()}>
          {t("missing.again")}
        </Button>
      }
    >
      {t("missing.text")}
    </EmptyState>
  );
}
