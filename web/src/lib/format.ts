/** Numbers as people say them. The language is i18next's. */

const MINUTE = 60;
const HOUR = 3600;

/** "14 s", "2 min 5 s", "1 h 20 min": at most two parts, and nothing finer than helps. */
export function duration(seconds: number, language: string): string {
  const rounded = Math.max(0, seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds));
  const part = (value: number, unit: "hour" | "minute" | "second", digits = 0) =>
    new Intl.NumberFormat(language, {
      style: "unit",
      unit,
      unitDisplay: "short",
      maximumFractionDigits: digits,
    }).format(value);
  if (rounded < MINUTE) return part(rounded, "second", seconds < 10 ? 1 : 0);
  if (rounded < HOUR) {
    const rest = rounded % MINUTE;
    const minutes = part(Math.floor(rounded / MINUTE), "minute");
    return rest === 0 || rounded >= 10 * MINUTE ? minutes : `${minutes} ${part(rest, "second")}`;
  }
  const rest = Math.round((rounded % HOUR) / MINUTE);
  const hours = part(Math.floor(rounded / HOUR), "hour");
  return rest === 0 || rest === MINUTE ? hours : `${hours} ${part(rest, "minute")}`;
}

/** A clock: "0:07", "12:34", "1:02:03". */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / MINUTE) % MINUTE;
  const hours = Math.floor(whole / HOUR);
  return hours > 0
    ? `${hours}:${two(minutes)}:${two(whole % MINUTE)}`
    : `${minutes}:${two(whole % MINUTE)}`;
}

/** "9.2 GB", "410 MB": powers of ten, as disks and downloads are sold. */
export function bytes(count: number, language: string): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;
  const power = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.max(1, count)) / 3)));
  const value = count / 1000 ** power;
  return new Intl.NumberFormat(language, {
    style: "unit",
    unit: units[power] ?? "byte",
    unitDisplay: power === 0 ? "long" : "short",
    maximumFractionDigits: value < 10 && power > 1 ? 1 : 0,
  }).format(value);
}

/** Of memory, which the server counts in MiB: "14.2 GiB", "820 MiB". */
export function memory(mib: number, language: string): string {
  const [value, unit, digits] = mib >= 1024 ? [mib / 1024, "GiB", 1] : [mib, "MiB", 0];
  return `${new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value)} ${unit}`;
}

export function number(value: number, language: string, digits = 0): string {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
}

/** "3 min. ago", "yesterday". `now`: milliseconds since 1970. */
export function ago(time: string, now: number, language: string): string {
  const seconds = (Date.parse(time) - now) / 1000;
  const words = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
  const size = Math.abs(seconds);
  if (size < 45) return words.format(Math.round(seconds), "second");
  if (size < 45 * MINUTE) return words.format(Math.round(seconds / MINUTE), "minute");
  if (size < 22 * HOUR) return words.format(Math.round(seconds / HOUR), "hour");
  return words.format(Math.round(seconds / (24 * HOUR)), "day");
}
