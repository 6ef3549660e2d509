import { Button, Text } from "@mantine/core";
import { Clapperboard, Sparkle } from "lucide-react";
import { useTranslation } from "react-i18next";

import { ProblemNote } from "@/components/problem-note";
import { emptyDraft, modelOf, toSubmit, useDraft } from "@/lib/draft";

import { StepCard } from "./step-card";
import { useModels } from "./use-model";
import { newKey, useSubmit } from "./use-submit";

const PROMPT = "a small red circle moves left on a navy background";

/** A video in a few seconds, by the demo model that comes with the program. */
export function FirstVideo() {
  const { t } = useTranslation("generate");
  const submit = useSubmit();
  const demos = useModels().filter((model) => model.demo);
  const model = modelOf(emptyDraft, demos);
  const make = () => {
    if (model === undefined) return;
    const draft = { ...emptyDraft, prompt: PROMPT, model: model.id };
    useDraft.getState().replace(draft);
    submit.mutate({ request: toSubmit(draft, model), key: newKey() });
  };
  return (
    <StepCard
      icon={Sparkle}
      title={t("welcome.first.title")}
      action={
        <Button
          size="sm"
          leftSection={<Clapperboard size={16} aria-hidden />}
          disabled={model === undefined}
          loading={submit.isPending}
          onClick={make}
        >
          {t("welcome.first.deed")}
        </Button>
      }
    >
      <Text size="sm" c="dimmed">
        {t("welcome.first.about")}
      </Text>
      {submit.error && <ProblemNote error={submit.error} retry={make} />}
    </StepCard>
  );
}
