/** Seconds that are left, as they are shown: they count down evenly, and news of the server bends them, never jerks. */

const PER_SECOND = 0.25; // of the difference to what the server says, made good each second

export interface Countdown {
  left: number;
  /** Milliseconds. */
  at: number;
}

/** `told`: what the server said, `toldAt` when. Times are milliseconds. */
export function countDown(
  before: Countdown | null,
  told: number,
  toldAt: number,
  now: number,
): Countdown {
  const expected = Math.max(0, told - (now - toldAt) / 1000);
  if (before === null) return { left: expected, at: now };
  const passed = Math.max(0, (now - before.at) / 1000);
  const alone = before.left - passed;
  const bend = 1 - (1 - PER_SECOND) ** passed;
  return { left: Math.max(0, alone + (expected - alone) * bend), at: now };
}
