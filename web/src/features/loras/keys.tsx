import { Alert, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { CircleCheck, TriangleAlert } from "lucide-react";
import { useTranslation } from "react-i18next";

import { QueryView } from "@/components/query-view";

import { keysQuery } from "./use-loras";

import classes from "./loras.module.css";

/** The layers of a model that a LoRA changes, and what of it has no place there. */
export function Keys({ lora, model }: { lora: string; model: string }) {
  const { t } = useTranslation("loras");
  const keys = useQuery(keysQuery(lora, model));
  return (
    <QueryView query={keys}>
      {({ fits, problem, matched, unmatched }) => (
        <Stack gap="sm">
          {!fits && (
            <Alert
              color="red"
              title={t("keys.wrong")}
              icon={<TriangleAlert size={18} aria-hidden />}
            >
              <Text size="sm" c="var(--text)" lang="en">
                {problem}
              </Text>
            </Alert>
          )}
          {fits && unmatched.length === 0 && (
            <Alert color="teal" icon={<CircleCheck size={18} aria-hidden />}>
              <Text size="sm" c="var(--text)">
                {t("keys.all")}
              </Text>
            </Alert>
          )}
          <Names title={t("keys.unmatched", { count: unmatched.length })} names={unmatched} />
          <Names title={t("keys.matched", { count: matched.length })} names={matched} />
        </Stack>
      )}
    </QueryView>
  );
}

function Names({ title, names }: { title: string; names: readonly string[] }) {
  if (names.length === 0) return null;
  return (
    <div>
      <Text size="sm" fw={600} mb={4}>
        {title}
      </Text>
      <pre className={classes.keys} tabIndex={0} aria-label={title}>
        {names.join("\n")}
      </pre>
    </div>
  );
}
