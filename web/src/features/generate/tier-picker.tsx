import { SegmentedControl, Text } from "@mantine/core";
import { useTranslation } from "react-i18next";

import { useDraftField } from "@/lib/draft";

/** How exact the arithmetic is. */
export function TierPicker() {
  const { t } = useTranslation("generate");
  const [tier, setTier] = useDraftField("tier");
  const value = tier ?? "auto";
  return (
    <div>
      <Text size="sm" fw={600} mb={6}>
        {t("tier.label")}
      </Text>
      <SegmentedControl
        aria-label={t("tier.label")}
        fullWidth
        value={value}
        onChange={(next) => setTier(next === "auto" ? null : next)}
        data={(["auto", "exact", "fast"] as const).map((each) => ({
          value: each,
          label: t(`tier.${each}`),
        }))}
      />
      <Text size="xs" c="dimmed" mt={6}>
        {t(`tier.about.${value}`)}
      </Text>
    </div>
  );
}
