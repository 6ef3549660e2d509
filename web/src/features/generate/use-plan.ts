import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery, type UseQueryResult } from "@tanstack/react-query";

import { planQuery } from "@/api/queries";
import type { ModelView, PlanBody, PlanView } from "@/api/types";
import { modelOf, toPlan, useDraft } from "@/lib/draft";

const QUIET = 250; // milliseconds without a change, after which the server is asked

/** What the draft will take here. While settings move, the last answer stays, marked as a placeholder. */
export function usePlan(models: readonly ModelView[]): UseQueryResult<PlanView> {
  const text = useDraft(({ draft }) => {
    const model = modelOf(draft, models);
    return model === undefined ? null : JSON.stringify(toPlan(draft, model));
  });
  const [asked] = useDebouncedValue(text, QUIET);
  const body = asked === null ? null : (JSON.parse(asked) as PlanBody);
  return useQuery({ ...planQuery(body), placeholderData: keepPreviousData });
}
