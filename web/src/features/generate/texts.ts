import type texts from "./locales/en.json";

declare module "@/lib/i18n" {
  interface Texts {
    generate: typeof texts;
  }
}
