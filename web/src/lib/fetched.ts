/** A part of the app could not be fetched: the server is away, or has become a newer version. */
export class PartMissing extends Error {
  constructor(cause: unknown) {
    // Not the words of the browser alone, by which the router knows to load the app anew: from a server that is away.
    super(
      `a part of the app is missing: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        cause,
      },
    );
    this.name = "PartMissing";
  }
}

/**
 * Fetch a part of the app once. Throws PartMissing, and then always: browsers keep a failed module, and its style
 * would be passed over, so only loading the app anew helps.
 */
export function fetched<T>(part: () => Promise<T>): () => Promise<T> {
  let asked: Promise<T> | undefined;
  return () =>
    (asked ??= part().catch((cause: unknown) => {
      throw new PartMissing(cause);
    }));
}
