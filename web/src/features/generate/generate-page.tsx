import { Clapperboard } from "lucide-react";
import { useTranslation } from "react-i18next";

import { EmptyState } from "@/components/empty-state";
import { Page } from "@/components/page";

export function GeneratePage() {
  const { t } = useTranslation("generate");
  return (
    <Page title={t("title")}>
      <EmptyState icon={Clapperboard} title={t("empty")} />
    </Page>
  );
}
