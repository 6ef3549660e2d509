import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { expect, test } from "vitest";

import de from "./locales/de.json";
import en from "./locales/en.json";
import zh from "./locales/zh.json";

const document = JSON.parse(readFileSync(resolve("openapi.json"), "utf8")) as {
  components: { schemas: { AdvicePoint: { properties: { code: { enum: string[] } } } } };
};
const codes = document.components.schemas.AdvicePoint.properties.code.enum;

test.each(Object.entries({ de, en, zh }))(
  "every advice of the server is said in %s",
  (_, texts) => {
    expect(codes.length).toBeGreaterThan(5);
    expect(Object.keys(texts.advice.point).sort()).toEqual([...codes].sort());
  },
);
