import { describe, expect, it } from "vitest";
import { ResultsError, renderReport, renderReportFile } from "../../packages/report/src/index.ts";
import { sampleRun } from "./sample.ts";

const valid = () =>
  JSON.parse(JSON.stringify(sampleRun({ layers: 2, heads: 2 }))) as Record<string, unknown>;

function messageOf(json: unknown): string {
  try {
    renderReportFile(json);
  } catch (error) {
    expect(error).toBeInstanceOf(ResultsError);
    expect((error as ResultsError).code).toBe("BAD_ARGUMENT");
    return (error as ResultsError).message;
  }
  throw new Error("expected an error");
}

describe("renderReportFile", () => {
  it("renders what JSON kept of a run", () => {
    const run = sampleRun({ layers: 2, heads: 2 });
    expect(renderReportFile(JSON.parse(JSON.stringify(run)))).toBe(renderReport(run));
  });

  it("accepts the nulls that JSON makes of NaN, and fields it does not know", () => {
    const run = valid();
    run.seconds = null;
    run.later = { version: 2 };
    expect(renderReportFile(run)).toContain("<!doctype html>");
  });

  it.each([
    [[], "an array"],
    [null, "null"],
    ["text", "string"],
    [{ model: "m" }, "no schemaVersion"],
    [{ schemaVersion: 99 }, "schemaVersion 99"],
    [{ schemaVersion: 1, accuracy: 0.5, items: {} }, "output of a single command"],
  ])("refuses %j", (json, expected) => {
    expect(messageOf(json)).toContain(expected);
  });

  it("says where the shape is wrong", () => {
    const run = valid() as { experiments: { direct: Record<string, unknown> }[]; task: unknown };
    const direct = run.experiments[1]?.direct;
    if (!direct) throw new Error("the sample has two experiments");
    direct.heads = [[0.1, "two"]];
    expect(messageOf(run)).toContain(
      'experiments[1].direct.heads[0][1]: expected a number or null, got string "two"',
    );
    delete direct.keyHeads;
    direct.heads = [];
    expect(messageOf(run)).toContain(
      "experiments[1].direct.keyHeads: expected an array, got nothing",
    );
    run.task = "add";
    expect(messageOf(run)).toContain("task: expected an object, got string");
  });
});
