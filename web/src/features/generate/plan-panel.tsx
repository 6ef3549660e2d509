import { Button, Group, Skeleton, Stack, Text } from "@mantine/core";
import { Clapperboard } from "lucide-react";
import { useTranslation } from "react-i18next";

import type { ModelView } from "@/api/types";
import { Panel } from "@/components/panel";
import { ProblemNote } from "@/components/problem-note";
import { patched, useDraft } from "@/lib/draft";
import { useShortcuts } from "@/lib/shortcuts";

import { PlanDetails } from "./plan-details";
import type { Make } from "./use-make";
import { usePlan } from "./use-plan";

import classes from "./plan-panel.module.css";

/** What the video will take here, always up to date, and the button that makes it. */
export function PlanPanel({ models, making }: { models: readonly ModelView[]; making: Make }) {
  const { t } = useTranslation("generate");
  const plan = usePlan(models);
  const { make, ready, pending, held, error } = making;
  const count = useDraft(({ draft }) => draft.count);
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
        {error && (
          <ProblemNote
            error={error}
            act={({ change: patch }) => patch && change(patch)}
            retry={() => make(held)}
          />
        )}
        <Button
          size="lg"
          fullWidth
          className={classes.submit}
          leftSection={<Clapperboard size={19} aria-hidden />}
          disabled={!ready}
          loading={pending && !held}
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
            loading={pending && held}
            onClick={() => make(true)}
          >
            {t("submitHeld")}
          </Button>
        </Group>
      </Stack>
    </Panel>
  );
}
