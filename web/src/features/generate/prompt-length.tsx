import { Text } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, queryOptions, useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";

import { api, unwrap } from "@/api/client";
import { useDraft } from "@/lib/draft";
import { useFormat } from "@/lib/use-format";

import { useModel } from "./use-model";

const QUIET = 400; // milliseconds without a change, after which the server is asked

const tokensQuery = (prompt: string, model: string) =>
  queryOptions({
    queryKey: ["tokens", model, prompt] as const,
    queryFn: ({ signal }) =>
      unwrap(api.POST("/api/v1/prompt/tokens", { body: { prompt, model_type: model }, signal })),
    staleTime: Infinity,
    gcTime: 60_000,
    retry: false,
  });

/** How long the prompt is: in the tokens of the model, or in characters as long as the model is not here. */
export function PromptLength() {
  const { t } = useTranslation("generate");
  const format = useFormat();
  const model = useModel();
  const prompt = useDraft(({ draft }) => draft.prompt);
  const [asked] = useDebouncedValue(prompt, QUIET);
  const tokens = useQuery({
    ...tokensQuery(asked, model?.id ?? ""),
    enabled: model?.state === "ready" && asked.trim() !== "",
    placeholderData: keepPreviousData,
  }).data;
  const counted = prompt.trim() === "" ? undefined : tokens;
  const over = counted !== undefined && counted.tokens > counted.limit;
  return (
    <Text
      size="xs"
      c={over ? "var(--bad)" : "dimmed"}
      className="numbers"
      role={over ? "alert" : undefined}
    >
      {counted === undefined
        ? t("prompt.count", { count: prompt.length, shown: format.number(prompt.length) })
        : t(over ? "prompt.over" : "prompt.tokens", {
            tokens: format.number(counted.tokens),
            limit: format.number(counted.limit),
          })}
    </Text>
  );
}
