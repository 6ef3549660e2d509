import { expect, test } from "vitest";

interface Tree {
  [key: string]: string | Tree;
}
const files = import.meta.glob<Tree>("../**/locales/*.json", { eager: true, import: "default" });
const english = Object.keys(files).filter((path) => path.endsWith("/en.json"));
const languages = [...new Set(Object.keys(files).map((path) => path.slice(-7, -5)))];

function flat(tree: Tree, before = ""): [key: string, text: string][] {
  return Object.entries(tree).flatMap(([key, value]) =>
    typeof value === "string" ? [[before + key, value]] : flat(value, `${before}${key}.`),
  );
}

/** How many forms a word has differs from language to language. */
const withoutNumber = (key: string) => key.replace(/_(zero|one|two|few|many|other)$/, "");
/** The number itself may become a word: "the video", "3 videos". */
const gaps = (text: string) =>
  [...text.matchAll(/\{\{(\w+)\}\}/g)].map(([, gap]) => gap).filter((gap) => gap !== "count");

test("there are the three languages, and texts in every part", () => {
  expect(languages.sort()).toEqual(["de", "en", "zh"]);
  expect(english.length).toBeGreaterThanOrEqual(8);
});

test.each(english.flatMap((path) => languages.map((language) => [path, language] as const)))(
  "%s says the same in %s",
  (path, language) => {
    const here = flat(files[path] ?? {});
    const there = flat(files[path.replace("en.json", `${language}.json`)] ?? {});
    const keys = (texts: typeof here) =>
      [...new Set(texts.map(([key]) => withoutNumber(key)))].sort();
    expect(keys(there)).toEqual(keys(here));
    const wanted = new Map(here.map(([key, text]) => [withoutNumber(key), gaps(text)]));
    for (const [key, text] of there) {
      expect(text.trim(), key).not.toBe("");
      expect(gaps(text).sort(), key).toEqual(wanted.get(withoutNumber(key))?.sort());
    }
  },
);

test("plural forms are those that the language has", () => {
  for (const [path, tree] of Object.entries(files)) {
    const forms = new Intl.PluralRules(path.slice(-7, -5)).resolvedOptions().pluralCategories;
    const found = flat(tree).flatMap(([key]) => {
      const form = /_(zero|one|two|few|many|other)$/.exec(key)?.[1];
      return form === undefined ? [] : [[withoutNumber(key), form] as const];
    });
    for (const key of new Set(found.map(([name]) => name))) {
      const used = found.filter(([name]) => name === key).map(([, form]) => form);
      expect(used.sort(), `${key} in ${path}`).toEqual([...forms].sort());
    }
  }
});
