/** The server's own words, generated from its OpenAPI document: make web-types. */
import type { paths } from "./schema";

export type * from "./schema";

type Of<Body> = NonNullable<Body> extends { content: { "application/json": infer T } } ? T : never;

/** A video to make. */
export type Submit = Of<paths["/api/v1/generation/submit"]["post"]["requestBody"]>;
