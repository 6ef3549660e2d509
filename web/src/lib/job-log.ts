import type { JobEventView } from "@/api/types";

/** What an event says, on one line: "step 3, steps 6". What is null is left out, what is nested is laid flat. */
export function said(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.map(said).filter(Boolean).join("; ");
  if (typeof value === "object") {
    return Object.entries(value)
      .map(([name, each]) => [name.replaceAll("_", " "), said(each)] as const)
      .filter(([, text]) => text !== "")
      .map(([name, text]) => `${name} ${text}`)
      .join(", ");
  }
  if (typeof value === "number") return String(Math.round(value * 1000) / 1000);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The whole log as a text, for a report. */
export function asText(events: readonly JobEventView[]): string {
  return events.map(({ at, type, data }) => `${at} ${type} ${said(data)}`.trimEnd()).join("\n");
}
