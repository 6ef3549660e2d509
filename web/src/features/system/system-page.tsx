import { Gauge } from "lucide-react";
import { useTranslation } from "react-i18next";

import { EmptyState } from "@/components/empty-state";
import { Page } from "@/components/page";

export function SystemPage() {
  const { t } = useTranslation("system");
  return (
    <Page title={t("title")}>
      <EmptyState icon={Gauge} title={t("empty")} />
    </Page>
  );
}
