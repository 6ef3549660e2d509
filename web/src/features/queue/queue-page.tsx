import { ListVideo } from "lucide-react";
import { useTranslation } from "react-i18next";

import { EmptyState } from "@/components/empty-state";
import { Page } from "@/components/page";

export function QueuePage() {
  const { t } = useTranslation("queue");
  return (
    <Page title={t("title")}>
      <EmptyState icon={ListVideo} title={t("empty")} />
    </Page>
  );
}
