import i18next from "i18next";
import { initReactI18next } from "react-i18next";

import { load, save } from "@/lib/storage";

import "@/app/texts";

const SETTING = "wanvideo.language";
const FALLBACK = "en";
type TextsOfOne = Record<string, Record<string, unknown>>;
const files = import.meta.glob<TextsOfOne>("./languages/*.ts", { import: "texts" });
const file = (language: string) => files[`./languages/${language}.ts`];

export const languages = Object.keys(files).map((path) => path.slice("./languages/".length, -3));

/** Its name in itself. */
export function nameOf(language: string): string {
  const name = new Intl.DisplayNames([language], { type: "language" }).of(language) ?? language;
  return name.charAt(0).toLocaleUpperCase(language) + name.slice(1);
}

/** "../../features/queue/locales/de.json" holds the texts of "queue"; those of components are the common ones. */
function partOf(path: string): string {
  const folder = path.split("/").at(-3) ?? "";
  return folder === "components" ? "common" : folder === ".." ? "app" : folder;
}

async function bring(language: string): Promise<void> {
  for (const [path, texts] of Object.entries((await file(language)?.()) ?? {})) {
    i18next.addResourceBundle(language, partOf(path), texts);
  }
}

function preferred(): string {
  const kept = load(SETTING);
  const asked = [typeof kept === "string" ? kept : "", ...navigator.languages];
  const found = asked
    .map((each) => each.split("-")[0] ?? "")
    .find((each) => languages.includes(each));
  return found ?? FALLBACK;
}

export async function startTexts(): Promise<void> {
  await i18next.use(initReactI18next).init({
    lng: FALLBACK,
    fallbackLng: FALLBACK,
    defaultNS: "common",
    resources: {},
    interpolation: { escapeValue: false }, // React does
    returnNull: false,
  });
  await bring(FALLBACK);
  await speak(preferred());
}

export async function speak(language: string): Promise<void> {
  if (language !== FALLBACK) await bring(language);
  await i18next.changeLanguage(language);
  document.documentElement.lang = language;
}

/** As the user chose it. */
export async function chooseLanguage(language: string): Promise<void> {
  await speak(language);
  save(SETTING, language);
}
