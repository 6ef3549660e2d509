import { Button, Group, Skeleton, Stack, Text } from "@mantine/core";
import { Clapperboard } from "lucide-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";

import type { ModelView } from "@/api/types";
import { Panel } from "@/components/panel";
import { ProblemNote } from "@/components/problem-note";
import { modelOf, modeOf, patched, toSubmit, useDraft } from "@/lib/draft";
import { useShortcuts } from "@/lib/shortcuts";

import { PlanDetails } from "./plan-details";
import { usePlan } from "./use-plan";
import { newKey, useSubmit } from "./use-submit";

import classes from "./plan-panel.module.css";

/** What the video will take here, always up to date, and the button that makes it. */
export function PlanPanel({ models }: { models: readonly ModelView[] }) {
  const { t } = useTranslation("generate");
  const plan = usePlan(models);
  const submit = useSubmit();
  const [hold, setHold] = useState(false);
  const ready = useDraft(
    ({ draft }) =>
      draft.prompt.trim() !== "" && !(modeOf(draft) === "ends" && draft.image === null),
  );
  const count = useDraft(({ draft }) => draft.count);
  const make = (held: boolean, force = false) => {
    const { draft } = useDraft.getState();
    const model = modelOf(draft, models);
    if (!ready || model === undefined || submit.isPending) return;
    setHold(held);
    submit.mutate({ request: { ...toSubmit(draft, model), held, force }, key: newKey() });
  };
  const change = (patch: Readonly<Record<string, unknown>>) => {
    const { draft, replace } = useDraft.getState();
    replace(patched(draft, patch, models));
  };
  useShortcuts(t("title"), [
    { keys: "mod+Enter", label: t("submit", { count }), run: () => make(false) },
    { keys: "mod+alt+Enter", label: t("submitHeld"), run: () => make(true) },
  ]);
  return (
    <Panel label={t("plan.title")} className={classes.panel}>
      <Stack gap="md">
        {plan.error !== null ? (
          <ProblemNote error={plan.error} retry={() => void plan.refetch()} />
        ) : plan.data === undefined ? (
          <Skeleton height={132} radius="md" />
        ) : (
          <PlanDetails
            plan={plan.data}
            stale={plan.isPlaceholderData}
            count={count}
            change={change}
          />
        )}
        {submit.error && (
          <ProblemNote
            error={submit.error}
            act={({ change: patch }) => patch && change(patch)}
            retry={() => make(hold)}
          />
        )}
        <Button
          size="lg"
          fullWidth
          leftSection={<Clapperboard size={19} aria-hidden />}
          disabled={!ready}
          loading={submit.isPending && !hold}
          onClick={() => make(false)}
        >
          {t("submit", { count })}
        </Button>
        <Group justify="space-between" gap="xs">
          <Text size="xs" c="dimmed">
            {ready ? t("hint") : t("needsPrompt")}
          </Text>
          <Button
            size="compact-sm"
            variant="subtle"
            color="gray"
            c="dimmed"
            disabled={!ready}
            loading={submit.isPending && hold}
            onClick={() => make(true)}
          >
            {t("submitHeld")}
          </Button>
        </Group>
      </Stack>
    </Panel>
  );
}
