import { ActionIcon, Badge, Button, Group, Slider, Text } from "@mantine/core";
import { Link2, Unlink2, X } from "lucide-react";
import { useTranslation } from "react-i18next";

import type { LoraBody, LoraView } from "@/api/types";
import { useDraft } from "@/lib/draft";
import { useFormat } from "@/lib/use-format";

import classes from "./lora-row.module.css";

interface LoraRowProps {
  use: LoraBody;
  /** undefined: no longer in the library. */
  lora: LoraView | undefined;
  experts: number;
  onChange: (use: LoraBody | null) => void;
}

/** One LoRA: how strong it is, for each expert if the model has two, and the words that call it. */
export function LoraRow({ use, lora, experts, onChange }: LoraRowProps) {
  const { t } = useTranslation("generate");
  const change = useDraft((store) => store.change);
  const strength = use.strength;
  const apart = use.strength_low != null && experts > 1;
  const say = (word: string) => {
    const { prompt } = useDraft.getState().draft;
    if (!prompt.includes(word)) change({ prompt: prompt === "" ? word : `${prompt}, ${word}` });
  };
  return (
    <div className={classes.row}>
      <Group justify="space-between" wrap="nowrap">
        <Group gap="xs" miw={0}>
          <Text size="sm" fw={600} truncate>
            {use.name}
          </Text>
          {lora === undefined && <Badge color="red">{t("lora.gone")}</Badge>}
          {lora?.trigger_words.map((word) => (
            <Button
              key={word}
              size="compact-xs"
              variant="light"
              radius="xl"
              onClick={() => say(word)}
            >
              {word}
            </Button>
          ))}
        </Group>
        <Group gap={2} wrap="nowrap">
          {experts > 1 && (
            <ActionIcon
              variant="subtle"
              color="gray"
              aria-label={t(apart ? "lora.together" : "lora.apart", { name: use.name })}
              aria-pressed={apart}
              onClick={() => {
                onChange({ ...use, strength_low: apart ? null : strength });
              }}
            >
              {apart ? <Unlink2 size={16} aria-hidden /> : <Link2 size={16} aria-hidden />}
            </ActionIcon>
          )}
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={t("lora.remove", { name: use.name })}
            onClick={() => onChange(null)}
          >
            <X size={16} aria-hidden />
          </ActionIcon>
        </Group>
      </Group>
      <Strength
        label={t(apart ? "lora.high" : "lora.strength")}
        value={strength}
        onChange={(value) => onChange({ ...use, strength: value })}
      />
      {apart && (
        <Strength
          label={t("lora.low")}
          value={use.strength_low ?? strength}
          onChange={(value) => onChange({ ...use, strength_low: value })}
        />
      )}
    </div>
  );
}

interface StrengthProps {
  label: string;
  value: number;
  onChange: (value: number) => void;
}

function Strength({ label, value, onChange }: StrengthProps) {
  const format = useFormat();
  return (
    <div className={classes.strength}>
      <Text size="xs" c="dimmed">
        {label}
      </Text>
      <Slider
        thumbLabel={label}
        label={null}
        min={-1}
        max={2}
        step={0.05}
        value={value}
        onChange={onChange}
        marks={[{ value: 0 }, { value: 1 }]}
        size="sm"
      />
      <Text size="xs" className="numbers" ta="end">
        {format.number(value, 2)}
      </Text>
    </div>
  );
}
