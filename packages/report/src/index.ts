export { renderReport } from "./render-report.ts";
export type * from "./results.ts";
export { schemaVersion } from "./results.ts";
