import { Button } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { Eraser } from "lucide-react";
import { useTranslation } from "react-i18next";

import { emptyDraft, useDraft } from "@/lib/draft";

/** Empties the form; one press brings everything back. */
export function StartOver() {
  const { t } = useTranslation(["generate", "common"]);
  const replace = useDraft((store) => store.replace);
  const clean = useDraft(({ draft }) => JSON.stringify(draft) === JSON.stringify(emptyDraft));
  const clear = () => {
    const before = useDraft.getState().draft;
    replace({});
    const id = notifications.show({
      color: "gray",
      autoClose: 10_000,
      message: (
        <Button
          size="compact-sm"
          variant="subtle"
          onClick={() => {
            replace(before);
            notifications.hide(id);
          }}
        >
          {t("common:undo")}
        </Button>
      ),
      title: t("cleared"),
    });
  };
  return (
    <Button
      variant="subtle"
      color="gray"
      c="dimmed"
      leftSection={<Eraser size={16} aria-hidden />}
      disabled={clean}
      onClick={clear}
    >
      {t("clear")}
    </Button>
  );
}
