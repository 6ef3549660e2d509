/** The server's own words, generated from its OpenAPI document: npm run types. */
export type * from "./schema";
