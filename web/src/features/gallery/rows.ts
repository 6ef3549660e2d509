/** Said in words of their own, or of no use to who looks at the video. The others have a text of their name. */
const SHOWN = new Set([
  "prompt",
  "model",
  "task",
  "width",
  "height",
  "frames",
  "fps",
  "seed",
  "steps",
]);

/** What a file says that it was made with and is not shown elsewhere, by name. */
export function rowsOf(settings: Readonly<Record<string, unknown>>): [string, string][] {
  return Object.entries(isRecord(settings.params) ? settings.params : {})
    .filter(([name]) => !SHOWN.has(name))
    .map(([name, value]): [string, string] => [name, told(value)])
    .filter(([, value]) => value !== "");
}

function told(value: unknown): string {
  if (Array.isArray(value)) return value.map(told).join(", ");
  if (typeof value === "string" || typeof value === "number") return String(value);
  return isRecord(value) ? lora(value) : "";
}

/** "slanted 1", and with "/ 0.5" of another strength in the low-noise expert. */
function lora({ name, strength, strength_low: low }: Readonly<Record<string, unknown>>): string {
  const strengths = [strength, low === strength ? null : low]
    .map(told)
    .filter((each) => each !== "");
  return `${told(name)} ${strengths.join(" / ")}`.trim();
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
