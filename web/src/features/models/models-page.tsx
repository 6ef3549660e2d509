import { Boxes } from "lucide-react";
import { useTranslation } from "react-i18next";

import { EmptyState } from "@/components/empty-state";
import { Page } from "@/components/page";

export function ModelsPage() {
  const { t } = useTranslation("models");
  return (
    <Page title={t("title")}>
      <EmptyState icon={Boxes} title={t("empty")} />
    </Page>
  );
}
