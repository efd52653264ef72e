export { renderReport } from "./render-report.ts";
export { ResultsError, renderReportFile } from "./render-report-file.ts";
export type * from "./results.ts";
export { schemaVersion } from "./results.ts";
export type * from "./results-analysis.ts";
export type * from "./results-budget.ts";
export type * from "./results-methods.ts";
export type * from "./results-validation.ts";
export { type MethodGroup, methodGroups, type Spread } from "./tuning-groups.ts";
