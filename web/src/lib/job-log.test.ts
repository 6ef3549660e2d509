import { expect, test } from "vitest";

import { asText, said } from "@/lib/job-log";

test("an event is one line, without what it does not say", () => {
  expect(said({ phase: "load", expert: null, steps: 4, reused: 0 })).toBe(
    "phase load, steps 4, reused 0",
  );
  expect(said({ loras: [{ name: "slanted", strength_low: 0.70004 }], failure: {} })).toBe(
    "loras name slanted, strength low 0.7",
  );
});

test("a log can be sent as a text", () => {
  const at = "2026-01-01T00:00:00Z";
  const events = [
    { seq: 1, type: "submitted", at, data: {} },
    { seq: 2, type: "started", at, data: { attempt: 1 } },
  ];
  expect(asText(events)).toBe(`${at} submitted\n${at} started attempt 1`);
});
