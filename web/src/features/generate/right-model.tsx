import { Anchor, Button, Skeleton, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Download, ImagePlay, Type } from "lucide-react";
import { useTranslation } from "react-i18next";

import { adviceQuery, modelsQuery, planQuery, type Use } from "@/api/queries";
import type { ModelView } from "@/api/types";
import { useDownload } from "@/api/use-download";
import { GoodAt } from "@/components/good-at";
import { ProblemNote } from "@/components/problem-note";
import { useDraft } from "@/lib/draft";
import { useFormat } from "@/lib/use-format";

import { StepCard } from "./step-card";

/** The model that this computer should make such videos with, one press away. */
export function RightModel({ from }: { from: Use["from"] }) {
  const { t } = useTranslation("generate");
  const advice = useQuery(adviceQuery({ from, first: "quality" }));
  const models = useQuery(modelsQuery);
  const model = models.data?.models.find(({ id }) => id === advice.data?.recommended_model);
  return (
    <StepCard
      icon={from === "text" ? Type : ImagePlay}
      title={t(`welcome.${from}.title`)}
      action={model && (model.demo ? <Others /> : <Get model={model} />)}
    >
      {advice.error && <ProblemNote error={advice.error} />}
      {advice.isPending && <Skeleton height={60} />}
      {model && <About model={model} from={from} />}
    </StepCard>
  );
}

function About({ model, from }: { model: ModelView; from: Use["from"] }) {
  const { t } = useTranslation("generate");
  const format = useFormat();
  const plan = useQuery(planQuery({ model_type: model.id, image: from === "image" })).data;
  if (model.demo) {
    return (
      <Text size="sm" c="dimmed">
        {t("welcome.onlyDemo")}
      </Text>
    );
  }
  return (
    <>
      <Text size="sm">{model.title}</Text>
      <GoodAt model={model} />
      {plan?.model === model.id && (
        <Text size="xs" c="dimmed" className="numbers">
          {t("fit.takes", { time: format.duration(plan.seconds) })}
        </Text>
      )}
    </>
  );
}

function Others() {
  const { t } = useTranslation("generate");
  return (
    <Anchor component={Link} to="/models" size="sm">
      {t("welcome.models")}
    </Anchor>
  );
}

function Get({ model }: { model: ModelView }) {
  const { t } = useTranslation("generate");
  const format = useFormat();
  const download = useDownload(model.id);
  const change = useDraft((store) => store.change);
  const variant = model.variants.find(({ recommended }) => recommended) ?? model.variants[0];
  const choose = () => change({ model: model.id });
  if (model.state === "ready") {
    return (
      <Button size="sm" variant="default" onClick={choose}>
        {t("welcome.choose")}
      </Button>
    );
  }
  return (
    <>
      {download.error && <ProblemNote error={download.error} />}
      <Button
        size="sm"
        variant="default"
        leftSection={<Download size={16} aria-hidden />}
        loading={download.isPending}
        disabled={download.isSuccess || variant === undefined}
        onClick={() => download.mutate(null, { onSuccess: choose })}
      >
        {download.isSuccess
          ? t("welcome.coming")
          : t("welcome.get", { size: variant?.bytes == null ? "" : format.bytes(variant.bytes) })}
      </Button>
    </>
  );
}
