import { expect, test } from "vitest";

import { countDown, type Countdown } from "@/lib/eta";

/** What is shown each half second, if the server says `told(second)` each second. */
function shown(told: (second: number) => number, seconds: number): number[] {
  const values: number[] = [];
  let state: Countdown | null = null;
  for (let half = 0; half <= seconds * 2; half += 1) {
    const toldAt = Math.floor(half / 2) * 1000;
    state = countDown(state, told(toldAt / 1000), toldAt, half * 500);
    values.push(state.left);
  }
  return values;
}

test("a server that is right is followed to the second", () => {
  const values = shown((second) => 20 - second, 20);
  values.forEach((left, half) => expect(left).toBeCloseTo(20 - half / 2, 6));
});

test("a server that wavers by ten seconds moves it by less than two in half a second", () => {
  const values = shown((second) => 60 - second + (second % 2 === 0 ? 5 : -5), 40);
  for (let half = 1; half < values.length; half += 1) {
    expect(Math.abs((values[half] ?? 0) - (values[half - 1] ?? 0) + 0.5)).toBeLessThan(2);
  }
});

test("a lasting change is believed within some seconds", () => {
  const values = shown((second) => (second < 5 ? 20 : 120) - second, 30);
  expect(values.at(-1)).toBeCloseTo(90, -0.5);
});

test("it never says less than nothing", () => {
  expect(shown(() => 0, 5).every((left) => left >= 0)).toBe(true);
});
