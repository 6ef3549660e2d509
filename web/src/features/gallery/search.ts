/** What is looked for, as it stands in the address; everything unset shows all. */
export interface Search {
  text?: string;
  model?: string;
  favourite?: true;
  /** The video that is open. */
  video?: string;
}

/** Of an address that anybody may have written. */
export function searchOf(found: Readonly<Record<string, unknown>>): Search {
  const search: Search = {};
  for (const name of ["text", "model", "video"] as const) {
    const value = found[name];
    if (typeof value === "string" && value !== "") search[name] = value;
    if (typeof value === "number") search[name] = String(value); // "2026" is read as a number
  }
  if (found.favourite === true || found.favourite === "true") search.favourite = true;
  return search;
}
