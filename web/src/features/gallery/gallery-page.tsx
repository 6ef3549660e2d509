import { Film } from "lucide-react";
import { useTranslation } from "react-i18next";

import { EmptyState } from "@/components/empty-state";
import { Page } from "@/components/page";

export function GalleryPage() {
  const { t } = useTranslation("gallery");
  return (
    <Page title={t("title")}>
      <EmptyState icon={Film} title={t("empty")} />
    </Page>
  );
}
