import { Anchor, Badge, Group, List, SegmentedControl, Skeleton, Stack, Text } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { ModelView, Recommendation } from "@/api/types";
import { GoodAt } from "@/components/good-at";
import { Panel } from "@/components/panel";
import { ProblemNote } from "@/components/problem-note";
import { adviceQuery, type Use } from "@/api/queries";
import { useFormat } from "@/lib/use-format";

import { anchorOf } from "./anchor";

/** Two questions, and the model that answers them on this computer. */
export function Advice({ models }: { models: readonly ModelView[] }) {
  const { t } = useTranslation("models");
  const [from, setFrom] = useState<Use["from"]>("text");
  const [first, setFirst] = useState<Use["first"]>("quality");
  const advice = useQuery({ ...adviceQuery({ from, first }), placeholderData: keepPreviousData });
  return (
    <Panel>
      <Stack gap="md">
        <Group gap="xl">
          <Choice
            label={t("advice.from")}
            value={from}
            onChange={setFrom}
            data={[
              { value: "text", label: t("advice.text") },
              { value: "image", label: t("advice.image") },
            ]}
          />
          <Choice
            label={t("advice.first")}
            value={first}
            onChange={setFirst}
            data={[
              { value: "quality", label: t("advice.quality") },
              { value: "speed", label: t("advice.speed") },
            ]}
          />
        </Group>
        {advice.error && <ProblemNote error={advice.error} />}
        {advice.isPending && <Skeleton height={64} radius="md" />}
        {advice.data && (
          <Answer
            advice={advice.data}
            model={models.find(({ id }) => id === advice.data.recommended_model)}
          />
        )}
      </Stack>
    </Panel>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  onChange: (value: T) => void;
  data: { value: T; label: string }[];
}

function Choice<T extends string>({ label, value, onChange, data }: ChoiceProps<T>) {
  return (
    <div>
      <Text size="sm" fw={600} mb={4}>
        {label}
      </Text>
      <SegmentedControl aria-label={label} value={value} data={data} onChange={onChange} />
    </div>
  );
}

function Answer({ advice, model }: { advice: Recommendation; model: ModelView | undefined }) {
  const { t } = useTranslation("models");
  const format = useFormat();
  const { seconds } = advice.expected_performance;
  const said = ({ code, values }: Recommendation["points"][number]) => {
    const short = values?.short_bytes;
    return t(`advice.point.${code}`, {
      ...values,
      ...(typeof short === "number" && { memory: format.memory(short / 2 ** 20) }),
    });
  };
  return (
    <div role="status" aria-live="polite">
      <Group gap="xs">
        <Anchor href={`#${anchorOf(advice.recommended_model)}`} fw={650} size="lg">
          {model?.title ?? advice.recommended_model}
        </Anchor>
        {model && (
          <Badge color={model.state === "ready" ? "teal" : "gray"}>
            {t(`state.${model.state}`)}
          </Badge>
        )}
        {seconds != null && (
          <Text size="sm" c="dimmed" className="numbers">
            {t("advice.takes", { time: format.duration(seconds) })}
          </Text>
        )}
      </Group>
      {model && <GoodAt model={model} />}
      <List size="xs" c="dimmed" mt={4}>
        {advice.points.map((point) => (
          <List.Item key={point.text}>{said(point)}</List.Item>
        ))}
      </List>
    </div>
  );
}
