import { Select } from "@mantine/core";
import { useTranslation } from "react-i18next";

import type { ModelView } from "@/api/types";
import { HelpLabel } from "@/components/help-label";
import { useDraftField } from "@/lib/draft";
import { useFormat } from "@/lib/use-format";

const BEST = "";

/** Which form of the model's weights: as published, or smaller and less exact. */
export function VariantPicker({ model }: { model: ModelView }) {
  const { t } = useTranslation("generate");
  const format = useFormat();
  const [variant, setVariant] = useDraftField("variant");
  if (model.variants.length < 2) return null;
  const forms = model.variants.map(({ id, title, bytes, recommended }) => ({
    value: id,
    label: [
      title,
      bytes == null ? null : format.bytes(bytes),
      recommended ? t("variant.suits") : null,
    ]
      .filter((part) => part !== null)
      .join(" · "),
  }));
  return (
    <Select
      label={<HelpLabel label={t("variant.label")} help={t("variant.help")} />}
      data={[{ value: BEST, label: t("variant.best") }, ...forms]}
      value={variant ?? BEST}
      onChange={(id) => setVariant(id === BEST ? null : id)}
      allowDeselect={false}
      comboboxProps={{ width: "max-content", position: "bottom-start" }}
    />
  );
}
