export type * from "./results.ts";
export { schemaVersion } from "./results.ts";
