/** The report of a results.json that was read from somewhere: checked first, then rendered. */
import { renderReport } from "./render-report.ts";
import { type RunResult, schemaVersion } from "./results.ts";
import { runShape } from "./run-shape.ts";
import { isObject } from "./shape.ts";

/** The file is no results.json of `keyheads run`; the message says where it differs. */
export class ResultsError extends Error {
  readonly code = "BAD_ARGUMENT";

  constructor(message: string) {
    super(message);
    this.name = "ResultsError";
  }
}

const remedy = "The report needs results.json as written by `keyheads run`.";

/**
 * Renders parsed JSON of unknown origin.
 * @throws ResultsError if it is not the results of a run, or of another schema version.
 */
export function renderReportFile(resultsJson: unknown): string {
  return renderReport(toRunResult(resultsJson));
}

/** Checks what is known to be an object of this version; returns it unchanged. */
export function toRunResult(json: unknown): RunResult {
  if (!isObject(json)) {
    const got = json === null ? "null" : Array.isArray(json) ? "an array" : typeof json;
    throw new ResultsError(`results.json holds ${got}, not an object. ${remedy}`);
  }
  if (json.schemaVersion === undefined) {
    throw new ResultsError(
      `results.json has no schemaVersion: it was not written by keyheads. ${remedy}`,
    );
  }
  if (json.schemaVersion !== schemaVersion) {
    throw new ResultsError(
      `results.json has schemaVersion ${JSON.stringify(json.schemaVersion)}; this version of keyheads reads ${schemaVersion}. Render it with the keyheads that wrote it, or run again.`,
    );
  }
  if (json.experiments === undefined) {
    const fields = Object.keys(json).slice(0, 8).join(", ");
    throw new ResultsError(
      `results.json has no experiments (its fields: ${fields}): it looks like the output of a single command. ${remedy}`,
    );
  }
  const problem = runShape(json, "");
  if (problem !== undefined) throw new ResultsError(`results.json: ${problem}. ${remedy}`);
  return json as unknown as RunResult;
}
