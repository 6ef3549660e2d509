import { NumberInput } from "@mantine/core";
import { useTranslation } from "react-i18next";

import { HelpLabel } from "@/components/help-label";
import { useDraftField } from "@/lib/draft";
import { useFormat } from "@/lib/use-format";

type Field = "steps" | "guidance" | "guidanceLow" | "shift" | "stepCache";

interface SettingNumberProps {
  /** Of its texts. */
  name: Field | "guidanceHigh";
  field?: Field;
  usual: number;
  min: number;
  max: number;
  step: number;
}

/** A number that the model has a value of its own for, which stands there until another one is typed. */
export function SettingNumber({ name, field, usual, min, max, step }: SettingNumberProps) {
  const { t } = useTranslation("generate");
  const format = useFormat();
  const [value, setValue] = useDraftField(field ?? (name === "guidanceHigh" ? "guidance" : name));
  return (
    <NumberInput
      label={<HelpLabel label={t(`more.${name}.label`)} help={t(`more.${name}.help`)} />}
      placeholder={t("more.usual", { value: format.number(usual, 2) })}
      value={value ?? ""}
      onChange={(next) => setValue(typeof next === "number" ? next : null)}
      min={min}
      max={max}
      step={step}
      startValue={usual}
      clampBehavior="blur"
      allowDecimal={step < 1}
    />
  );
}
