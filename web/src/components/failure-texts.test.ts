import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { expect, test } from "vitest";

import de from "./locales/de.json";
import en from "./locales/en.json";
import zh from "./locales/zh.json";

interface Schema {
  properties: Record<string, { examples?: string[] }>;
}
const document = JSON.parse(readFileSync(resolve("openapi.json"), "utf8")) as {
  components: { schemas: Record<"FailureView" | "Action", Schema> };
};
const codesOf = (schema: "FailureView" | "Action") =>
  document.components.schemas[schema].properties.code?.examples ?? [];
const codes = [...codesOf("FailureView")].sort();
const suggestions = [...codesOf("Action")].sort();

test.each(Object.entries({ de, en, zh }))(
  "every code of the server is said in %s",
  (_, { failure, suggestion }) => {
    expect(codes.length).toBeGreaterThan(60);
    expect(Object.keys(failure).sort()).toEqual(codes);
    expect(suggestions.length).toBeGreaterThan(25);
    expect(Object.keys(suggestion).sort()).toEqual(suggestions);
  },
);

test.each(Object.entries({ de, zh }))("no title is left in English in %s", (_, { failure }) => {
  const english = new Map(Object.entries(en.failure));
  for (const [code, title] of Object.entries(failure)) expect(title).not.toBe(english.get(code));
});
