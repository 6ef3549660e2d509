import { Blend } from "lucide-react";
import { useTranslation } from "react-i18next";

import { EmptyState } from "@/components/empty-state";
import { Page } from "@/components/page";

export function LorasPage() {
  const { t } = useTranslation("loras");
  return (
    <Page title={t("title")}>
      <EmptyState icon={Blend} title={t("empty")} />
    </Page>
  );
}
