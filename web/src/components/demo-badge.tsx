import { Badge } from "@mantine/core";
import { useTranslation } from "react-i18next";

/** Demo models are labelled wherever they appear. */
export function DemoBadge() {
  const { t } = useTranslation("common");
  return (
    <Badge color="gray" size="sm" c="dimmed">
      {t("demo")}
    </Badge>
  );
}
