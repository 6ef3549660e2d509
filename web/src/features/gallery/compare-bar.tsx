import { ActionIcon, Button, Group, Text } from "@mantine/core";
import { Columns2, X } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { VideoView } from "@/api/types";

import { Comparison } from "./comparison";

import classes from "./gallery.module.css";

/** What is chosen for a comparison. */
export function CompareBar({
  chosen,
  onClear,
}: {
  chosen: readonly VideoView[];
  onClear: () => void;
}) {
  const { t } = useTranslation("gallery");
  const [open, setOpen] = useState(false);
  const [left, right] = chosen;
  if (left === undefined) return null;
  return (
    <Group className={classes.bar} gap="sm" role="region" aria-label={t("compare.title")}>
      <Text size="sm">{right ? t("compare.two") : t("compare.one")}</Text>
      <Button
        size="compact-md"
        leftSection={<Columns2 size={16} aria-hidden />}
        disabled={right === undefined}
        onClick={() => setOpen(true)}
      >
        {t("compare.open")}
      </Button>
      <ActionIcon variant="subtle" color="gray" aria-label={t("compare.clear")} onClick={onClear}>
        <X size={16} aria-hidden />
      </ActionIcon>
      {open && right && <Comparison videos={[left, right]} onClose={() => setOpen(false)} />}
    </Group>
  );
}
