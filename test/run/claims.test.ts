// The rules by which the paper's claims are judged.
import { paperClaims } from "@keyheads/models";
import { describe, expect, test } from "vitest";
import type { Experiment, KnockoutResult } from "../../packages/keyheads/src/results.ts";
import { type ClaimInputs, judgeClaims } from "../../packages/keyheads/src/run/claims.ts";
import { sampleRun } from "../report/sample.ts";

const experiment = sampleRun({ layers: 4, heads: 4 }).experiments[0] as Experiment;

function judge(id: string, change: Partial<Experiment>, inputs: Partial<ClaimInputs> = {}) {
  const claims = judgeClaims({
    experiments: [{ ...experiment, ...change }],
    missing: [],
    nullOperator: false,
    ...inputs,
  });
  const index = paperClaims.findIndex((claim) => claim.id === id);
  return claims[index];
}

function knockout(last: { accuracy: number; control: number }, low: number): KnockoutResult {
  const band = { k: 2, mean: 0.9, low, high: 1, draws: 200, exhaustive: false };
  return {
    ...(experiment.knockout as KnockoutResult),
    curve: [
      { k: 0, accuracy: 0.95, control: 0.9 },
      { k: 2, added: "2.2", ...last },
    ],
    random: [band],
  };
}

describe("judgeClaims", () => {
  test("judges every claim of the paper once, with evidence", () => {
    const claims = judgeClaims({ experiments: [experiment], missing: [], nullOperator: false });
    expect(claims.map(({ claim }) => claim)).toEqual(paperClaims.map(({ claim }) => claim));
    for (const { evidence } of claims) expect(evidence).not.toMatch(/undefined|NaN/);
  });

  test("what a model does not have is not testable, whatever the numbers say", () => {
    const missing = [{ what: "operators", why: "digits only", claims: ["sparse-heads" as const] }];
    expect(judge("sparse-heads", {}, { missing })).toMatchObject({
      verdict: "not testable here",
      evidence: "There are no operators: digits only.",
    });
  });

  test("sparse: a quarter of the heads must have four fifths of the effect", () => {
    const heads = (values: number[]) => ({ direct: { ...experiment.direct, heads: [values] } });
    expect(judge("sparse-heads", heads([-8, -0.5, -0.5, -0.5, 2, 0, 0, 0]))?.verdict).toBe(
      "supported",
    );
    expect(judge("sparse-heads", heads([-1, -1, -1, -1, 0, 0, 0, 0]))?.verdict).toBe(
      "not supported",
    );
    expect(judge("sparse-heads", heads([0, 0, 0, 0]))?.verdict).toBe("not supported");
  });

  test("necessary: beyond 95 % of the random sets, and by ten points", () => {
    const at = (accuracy: number, low: number) =>
      judge("heads-necessary", { knockout: knockout({ accuracy, control: 0.9 }, low) })?.verdict;
    expect(at(0.3, 0.6)).toBe("supported");
    expect(at(0.7, 0.6)).toBe("not supported");
    expect(at(0.9, 0.92)).toBe("not supported");
  });

  test("specific: the control may lose a quarter of what the task loses", () => {
    const at = (control: number) =>
      judge("heads-specific", { knockout: knockout({ accuracy: 0.35, control }, 0.6) })?.verdict;
    expect(at(0.8)).toBe("supported");
    expect(at(0.7)).toBe("not supported");
  });

  test("specific: a control that the model cannot do says nothing", () => {
    const curve = [
      { k: 0, accuracy: 0.95, control: 0.02 },
      { k: 2, added: "2.2", accuracy: 0.35, control: 0.02 },
    ];
    const { knockout: whole } = experiment;
    const change = { knockout: { ...(whole as KnockoutResult), curve }, control: "powers" };
    expect(judge("heads-specific", change)).toMatchObject({
      verdict: "not testable here",
      evidence: "The control (powers) is right in 2.0 % from the start: it has nothing to lose.",
    });
  });

  test("null operators are judged only where the counterfactual has them", () => {
    const validity = { ...experiment.direct.validity, counterfactualStillC: 0.02 };
    const change = { direct: { ...experiment.direct, validity } };
    expect(judge("null-operator", change)?.verdict).toBe("not testable here");
    expect(judge("null-operator", change, { nullOperator: true })?.verdict).toBe("supported");
  });

  test("shared operations need several", () => {
    expect(judge("shared-operations", {})?.verdict).toBe("not testable here");
    const twice = { experiments: [experiment, experiment] };
    expect(judge("shared-operations", {}, twice)?.verdict).toBe("supported");
  });
});
