import { useTranslation } from "react-i18next";

import type { Action } from "@/api/types";
import type common from "@/components/locales/en.json";
import { useFormat } from "@/lib/use-format";

type Said = keyof typeof common.failure;
type Suggested = keyof typeof common.suggestion;

interface FailureTexts {
  /** Of a failure, in a few words. */
  title: (failure: { code: string; title: string }) => string;
  label: (action: Action) => string;
  effect: (action: Action) => string;
  /** "49 frames": what a plan proposes; empty if there are no words for it. */
  change: (patch: Readonly<Record<string, unknown>>) => string;
}

/** Failures and suggestions in the user's language, by their codes; those of unknown codes in the server's words. */
export function useFailureTexts(): FailureTexts {
  const { t, i18n } = useTranslation("common");
  const { memory, number } = useFormat();
  const isKnown = (code: string): code is Said => i18n.exists(`common:failure.${code}`);
  const isSuggested = (code: unknown): code is Suggested =>
    typeof code === "string" && i18n.exists(`common:suggestion.${code}.text`);

  /** "832x480, 49 frames": those changes that a plan proposes. */
  const changed = ({ resolution, frames, tier, step_cache }: Readonly<Record<string, unknown>>) =>
    [
      typeof resolution === "string" && resolution,
      typeof frames === "number" && t("change.frames", { frames }),
      typeof tier === "string" && t("change.tier", { tier }),
      typeof step_cache === "number" && t("change.stepCache", { value: number(step_cache, 2) }),
    ]
      .filter((each) => each !== false)
      .join(", ");
  const gaps = ({ values, change }: Action) => {
    const held = values?.vram_bytes;
    return {
      ...values,
      change: changed(change ?? {}),
      ...(typeof held === "number" && { memory: memory(held / 2 ** 20) }),
    };
  };

  return {
    title: ({ code, title }) => (isKnown(code) ? t(`failure.${code}`) : title),
    label: (action) =>
      isSuggested(action.code) ? t(`suggestion.${action.code}.text`, gaps(action)) : action.text,
    effect: (action) =>
      isSuggested(action.code) ? t(`suggestion.${action.code}.effect`) : action.effect,
    change: changed,
  };
}
