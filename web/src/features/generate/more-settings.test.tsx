import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, test } from "vitest";

import { healthQuery, modelsQuery } from "@/api/queries";
import common from "@/components/locales/en.json";
import { emptyDraft, useDraft } from "@/lib/draft";
import { draw } from "@/lib/draw.fixture";
import { model } from "@/lib/models.fixture";

import de from "./locales/de.json";
import en from "./locales/en.json";
import zh from "./locales/zh.json";
import { MoreSettings } from "./more-settings";

const NARROW = 17; // characters that a select shows where three of them stand side by side

beforeEach(() => useDraft.getState().replace(emptyDraft));

test.each([
  ["Step cache", "0.9", { stepCache: 0.5 }],
  ["Shift", "50", { shift: 20 }],
])("%s goes as far as the model says", async (label, typed, kept) => {
  const limits = { ...model().limits, max_shift: 20, max_step_cache: 0.5 };
  draw(<MoreSettings />, { generate: en, common }, [
    [modelsQuery.queryKey, { models: [model({ limits })], problems: [] }],
    [healthQuery.queryKey, { demo: false }],
  ]);
  await userEvent.click(screen.getByRole("button", { name: "All settings" }));
  await userEvent.type(screen.getByRole("textbox", { name: new RegExp(`^${label}`) }), typed);
  await userEvent.tab();
  expect(useDraft.getState().draft).toMatchObject(kept);
});

test.each(Object.entries({ de, en, zh }))("nothing is cut off in %s", (_, { more }) => {
  const { usual, auto, demo, off } = more.fallback;
  for (const text of [usual, auto, demo, off, more.auto])
    expect(text.length, text).toBeLessThanOrEqual(NARROW);
});
