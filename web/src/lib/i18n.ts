import "i18next";

import type common from "@/components/locales/en.json";

/** The texts of each part, by which keys are checked. A feature adds its own: see any `features/*\/texts.ts`. */
export interface Texts {
  common: typeof common;
}

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "common";
    resources: Texts;
  }
}
