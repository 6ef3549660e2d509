import { Button, Text } from "@mantine/core";
import { Clapperboard } from "lucide-react";
import { useTranslation } from "react-i18next";

import type { ModelView } from "@/api/types";
import { useDraft } from "@/lib/draft";
import { useFormat } from "@/lib/use-format";

import type { Make } from "./use-make";
import { usePlan } from "./use-plan";

import classes from "./create-form.module.css";

/** On phones: the time that it takes and the button, always within reach of the thumb. */
export function SubmitBar({ models, making }: { models: readonly ModelView[]; making: Make }) {
  const { t } = useTranslation("generate");
  const format = useFormat();
  const { data: plan } = usePlan(models);
  const count = useDraft(({ draft }) => draft.count);
  return (
    <div className={classes.bar}>
      <Text size="sm" className="numbers" c="dimmed">
        {plan === undefined ? t("plan.title") : format.duration(plan.seconds * count)}
      </Text>
      <Button
        leftSection={<Clapperboard size={17} aria-hidden />}
        disabled={!making.ready}
        loading={making.pending}
        onClick={() => making.make(false)}
      >
        {t("submit", { count })}
      </Button>
    </div>
  );
}
