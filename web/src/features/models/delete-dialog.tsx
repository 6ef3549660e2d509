import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import type { ModelView } from "@/api/types";
import { ConfirmDialog } from "@/components/confirm-dialog";
import { QueryView } from "@/components/query-view";
import { useFormat } from "@/lib/use-format";

import { removalQuery, useRemove } from "./use-models";

/** Says what deleting a model frees, before it is done. */
export function DeleteDialog({ model, close }: { model: ModelView; close: () => void }) {
  const { t } = useTranslation("models");
  const format = useFormat();
  const removal = useQuery(removalQuery(model.id));
  const remove = useRemove(model.id);
  return (
    <ConfirmDialog
      title={t("delete.title", { model: model.title })}
      deed={t("delete.deed")}
      onConfirm={() => remove.mutate(undefined, { onSuccess: close })}
      onClose={close}
      busy={remove.isPending}
      disabled={removal.data === undefined}
      error={remove.error}
    >
      <QueryView query={removal}>
        {({ files, frees_bytes, kept }) => (
          <>
            <Text>{t("delete.frees", { count: files, size: format.bytes(frees_bytes) })}</Text>
            {kept > 0 && <Text c="dimmed">{t("delete.kept", { count: kept })}</Text>}
          </>
        )}
      </QueryView>
    </ConfirmDialog>
  );
}
