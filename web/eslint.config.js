import { readdirSync } from "node:fs";

import hooks from "eslint-plugin-react-hooks";
import ts from "typescript-eslint";

/** api, components, lib  <-  features (not one another)  <-  app */
const features = readdirSync(new URL("./src/features", import.meta.url));

const forbid = (files, patterns, message) => ({
  files,
  rules: {
    "no-restricted-imports": [
      "error",
      {
        patterns: [
          { group: ["../*"], message: "Say where it is: @/..." },
          { group: patterns, message },
        ],
      },
    ],
  },
});

export default ts.config(
  { ignores: ["e2e/results", "src/api/schema.d.ts", "node_modules"] },
  ts.configs.strictTypeChecked,
  ts.configs.stylisticTypeChecked,
  hooks.configs.flat["recommended-latest"],
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ["eslint.config.js", "scripts/*.mjs"] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      "@typescript-eslint/consistent-type-definitions": ["error", "interface"],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-misused-promises": [
        "error",
        { checksVoidReturn: { attributes: false } },
      ],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/only-throw-error": "off", // redirects and "not found" of the router are thrown
      "no-restricted-syntax": [
        "error",
        { selector: "ExportDefaultDeclaration", message: "Exports have names." },
        { selector: "TSEnumDeclaration", message: "A union of texts says the same." },
      ],
      "max-lines-per-function": ["error", { max: 120, skipComments: true, skipBlankLines: true }],
    },
  },
  { files: ["*.config.{ts,js}"], rules: { "no-restricted-syntax": "off" } },
  { files: ["**/*.{js,mjs}"], extends: [ts.configs.disableTypeChecked] },
  { files: ["**/*.test.{ts,tsx}", "e2e/**"], rules: { "max-lines-per-function": "off" } },
  { files: ["e2e/**"], rules: { "react-hooks/rules-of-hooks": "off" } }, // what a fixture calls "use" is no hook
  forbid(
    ["src/{api,components,lib}/**"],
    ["@/features/*", "@/features/**", "@/app/*", "@/app/**"],
    "What features and the app stand on does not know them.",
  ),
  ...features.map((name) =>
    forbid(
      [`src/features/${name}/**`],
      [
        "@/app/*",
        "@/app/**",
        ...features
          .filter((each) => each !== name)
          .flatMap((each) => [`@/features/${each}`, `@/features/${each}/**`]),
      ],
      "Features know neither the app nor one another: what two of them need belongs to api, components or lib.",
    ),
  ),
);
