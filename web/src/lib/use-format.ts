import { useMemo } from "react";
import { useTranslation } from "react-i18next";

import * as format from "@/lib/format";

export interface Format {
  language: string;
  duration: (seconds: number) => string;
  bytes: (count: number) => string;
  memory: (mib: number) => string;
  number: (value: number, digits?: number) => string;
  /** Of the day, with seconds. */
  time: (time: string) => string;
  ago: (time: string, now: number) => string;
}

/** Numbers in the user's language. */
export function useFormat(): Format {
  const { i18n } = useTranslation();
  const language = i18n.language;
  return useMemo(
    () => ({
      language,
      duration: (seconds) => format.duration(seconds, language),
      bytes: (count) => format.bytes(count, language),
      memory: (mib) => format.memory(mib, language),
      number: (value, digits = 0) => format.number(value, language, digits),
      time: (time) => new Date(time).toLocaleTimeString(language),
      ago: (time, now) => format.ago(time, now, language),
    }),
    [language],
  );
}
