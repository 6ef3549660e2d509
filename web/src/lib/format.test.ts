import { expect, test } from "vitest";

import { ago, bytes, clock, duration, memory } from "@/lib/format";

test.each([
  [0, "0 sec"],
  [3.26, "3.3 sec"],
  [59.4, "59 sec"],
  [59.6, "1 min"],
  [125, "2 min 5 sec"],
  [1000, "16 min"],
  [3600, "1 hr"],
  [5430, "1 hr 31 min"],
])("%d seconds are %s", (seconds, text) => {
  expect(duration(seconds, "en")).toBe(text);
});

test("a duration speaks the user's language", () => {
  expect(duration(125, "de")).toBe("2 Min. 5 Sek.");
  expect(duration(125, "zh")).toBe("2分钟 5秒");
});

test("clocks count in hours only if there are any", () => {
  expect([7, 754, 3723].map(clock)).toEqual(["0:07", "12:34", "1:02:03"]);
});

test("sizes have the unit that fits", () => {
  expect([0, 999, 12_300, 9_240_000_000].map((each) => bytes(each, "en"))).toEqual([
    "0 bytes",
    "999 bytes",
    "12 kB",
    "9.2 GB",
  ]);
  expect(memory(820, "en")).toBe("820 MiB");
  expect(memory(14_540, "de")).toBe("14,2 GiB");
});

test("the past is told in words", () => {
  const now = Date.parse("2026-01-02T12:00:00Z");
  expect(ago("2026-01-02T11:57:00Z", now, "en")).toBe("3 min. ago");
  expect(ago("2026-01-01T12:00:00Z", now, "de")).toBe("gestern");
});
