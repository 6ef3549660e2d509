import { Skeleton, Stack } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { ProblemNote } from "@/components/problem-note";

interface QueryViewProps<T> {
  query: UseQueryResult<T>;
  children: (data: T) => ReactNode;
  /** Stands there while the first answer is on its way; by default, bars. */
  loading?: ReactNode;
}

/** Draws data as soon as there are any, and until then why not. What is known stays when a later question fails. */
export function QueryView<T>({ query, children, loading }: QueryViewProps<T>) {
  const { t } = useTranslation("common");
  if (query.data !== undefined) return children(query.data);
  if (query.error !== null) {
    return <ProblemNote error={query.error} retry={() => void query.refetch()} />;
  }
  return (
    <div role="status" aria-label={t("loading")}>
      {loading ?? (
        <Stack gap="sm">
          {[72, 96, 48].map((height) => (
            <Skeleton key={height} height={height} radius="lg" />
          ))}
        </Stack>
      )}
    </div>
  );
}
