import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { Unplug } from "lucide-react";
import { useTranslation } from "react-i18next";

import { EmptyState } from "@/components/empty-state";

export function NotFoundPage() {
  const { t } = useTranslation("app");
  return (
    <EmptyState
      icon={Unplug}
      title={t("notFound.title")}
      action={
        <Button mt="sm" component={Link} to="/">
          {t("notFound.home")}
        </Button>
      }
    />
  );
}
