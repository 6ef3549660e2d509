import { Radio, SimpleGrid, Switch, Text, Group } from "@mantine/core";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { ModelView } from "@/api/types";
import { Panel } from "@/components/panel";
import { modelOf, modeOf, takes, useDraft } from "@/lib/draft";

import { ModelCard } from "./model-card";

const FEW = 4; // cards that are shown before all are asked for

/** What can be used comes first, and of that, what makes real videos. */
function byUse(a: ModelView, b: ModelView): number {
  const rank = (model: ModelView) => (model.state === "ready" ? 0 : 2) + (model.demo ? 1 : 0);
  return rank(a) - rank(b);
}

/** The models that can make a video of what is given, and what each means for this computer. */
export function ModelPicker({ models }: { models: readonly ModelView[] }) {
  const { t } = useTranslation("generate");
  const [all, setAll] = useState(false);
  const mode = useDraft(({ draft }) => modeOf(draft));
  const chosen = useDraft(({ draft }) => modelOf(draft, models)?.id);
  const change = useDraft((store) => store.change);
  const fitting = models.filter((model) => takes(model, mode)).sort(byUse);
  const shown = all
    ? fitting
    : fitting.filter((model, place) => place < FEW || model.id === chosen);
  return (
    <Panel label={t("model.title")}>
      <Group justify="space-between" mb="sm">
        <Text fw={600}>{t("model.title")}</Text>
        {fitting.length > shown.length || all ? (
          <Switch
            size="sm"
            label={t("model.all", { count: fitting.length })}
            checked={all}
            onChange={(event) => setAll(event.currentTarget.checked)}
          />
        ) : null}
      </Group>
      <Radio.Group
        aria-label={t("model.title")}
        value={chosen ?? null}
        onChange={(model) => change({ model, variant: null })}
      >
        <SimpleGrid cols={{ base: 1, sm: 2, "2xl": 3 }} spacing="sm">
          {shown.map((model) => (
            <ModelCard key={model.id} model={model} image={mode !== "text"} />
          ))}
        </SimpleGrid>
      </Radio.Group>
    </Panel>
  );
}
