import { useState } from "react";

import type { ModelView } from "@/api/types";
import { modelOf, modeOf, toSubmit, useDraft } from "@/lib/draft";

import { newKey, useSubmit } from "./use-submit";

export interface Make {
  make: (held: boolean) => void;
  /** Whether enough is said for a video. */
  ready: boolean;
  pending: boolean;
  /** Of the last one: it was added, but held. */
  held: boolean;
  error: Error | null;
}

/** Makes what the draft says, once for each press. */
export function useMake(models: readonly ModelView[]): Make {
  const submit = useSubmit();
  const [held, setHeld] = useState(false);
  const ready = useDraft(
    ({ draft }) =>
      draft.prompt.trim() !== "" && !(modeOf(draft) === "ends" && draft.image === null),
  );
  const make = (hold: boolean) => {
    const { draft } = useDraft.getState();
    const model = modelOf(draft, models);
    if (!ready || model === undefined || submit.isPending) return;
    setHeld(hold);
    submit.mutate({ request: { ...toSubmit(draft, model), held: hold }, key: newKey() });
  };
  return { make, ready, pending: submit.isPending, held, error: submit.error };
}
