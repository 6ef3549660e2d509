import { useQuery, type UseQueryResult } from "@tanstack/react-query";

import { healthQuery, modelsQuery } from "@/api/queries";
import type { ModelView } from "@/api/types";
import { modelOf, useDraft } from "@/lib/draft";

/** The models that can be asked for: of a demo server, the three types mean the demos and not the models of that name. */
export function useModelsQuery(): UseQueryResult<readonly ModelView[]> {
  const { data: health } = useQuery(healthQuery);
  const demo = health?.demo ?? false;
  return useQuery({
    ...modelsQuery,
    select: ({ models }) => (demo ? models.filter((model) => !isType(model)) : models),
  });
}

function isType({ id, model_type }: ModelView): boolean {
  return id.toLowerCase() === model_type.toLowerCase();
}

/** The same, empty until they are known. */
export function useModels(): readonly ModelView[] {
  return useModelsQuery().data ?? NONE;
}

const NONE: readonly ModelView[] = [];

/** The model that the draft means. */
export function useModel(): ModelView | undefined {
  const models = useModels();
  const id = useDraft(({ draft }) => modelOf(draft, models)?.id);
  return models.find((model) => model.id === id);
}
