import { notifications } from "@mantine/notifications";
import { useTranslation } from "react-i18next";

import { useFailureTexts } from "@/components/use-failure-texts";
import { useFrames } from "@/lib/live";
import { callUser } from "@/lib/notices";

/** Says when a video is ready or has failed, wherever the user is. */
export function JobNotices() {
  const { t } = useTranslation("app");
  const said = useFailureTexts();
  useFrames((frame) => {
    if (frame.type !== "task_update") return;
    const { task_id: id, state, error, failure } = frame.data;
    if (state === "succeeded") {
      notifications.show({
        id,
        title: t("notices.done"),
        message: t("notices.doneText"),
        color: "teal",
      });
      callUser(t("notices.done"), t("notices.doneText"), id);
    } else if (state === "failed") {
      const title = failure ? said.title(failure) : t("notices.failed");
      notifications.show({
        id,
        title,
        message: error,
        color: "red",
        autoClose: 12_000,
      });
      callUser(title, error ?? "", id);
    }
  });
  return null;
}
