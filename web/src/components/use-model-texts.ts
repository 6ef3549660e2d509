import { useTranslation } from "react-i18next";

import type { ModelView } from "@/api/types";
import type common from "@/components/locales/en.json";

type Known = keyof typeof common.model;

interface ModelTexts {
  goodAt: string;
  needs: string;
  /** Of these texts, where it is not the user's. */
  lang: "en" | undefined;
}

/** What a model is good at and needs, in the user's language; models that are not of the catalog in the server's words. */
export function useModelTexts(): (model: ModelView) => ModelTexts {
  const { t, i18n } = useTranslation("common");
  const isKnown = (key: string): key is Known => i18n.exists(`common:model.${key}`);
  return ({ id, good_at, needs }) => {
    const key = id.replaceAll(".", "_"); // a dot would lead deeper into the texts
    if (!isKnown(key)) return { goodAt: good_at, needs, lang: "en" };
    return { goodAt: t(`model.${key}.goodAt`), needs: t(`model.${key}.needs`), lang: undefined };
  };
}
