import { expect, it } from "vitest";
import {
  accuracyMark,
  accuracyTable,
  measureAccuracy,
} from "../../packages/keyheads/src/ground-truth/accuracy-table.ts";
import { averagePrecision, rocAuc } from "../../packages/keyheads/src/ground-truth/ranking.ts";

it("average precision and ROC-AUC, by hand", () => {
  const belongs = [true, false, true, false];
  expect(averagePrecision([4, 3, 2, 1], belongs)).toBeCloseTo((1 + 2 / 3) / 2, 12);
  expect(rocAuc([4, 3, 2, 1], belongs)).toBeCloseTo(3 / 4, 12);
  // All equal: chance.
  expect(averagePrecision([0, 0, 0, 0], belongs)).toBeCloseTo(1 / 2, 12);
  expect(rocAuc([0, 0, 0, 0], belongs)).toBeCloseTo(1 / 2, 12);
  expect(rocAuc([1, 2, 0, 2], belongs)).toBeCloseTo(0, 12);
});

it("finds a chain's upstream heads by total effects and not by direct ones", async () => {
  const plan = {
    ...{ cases: ["chain"], noise: [0.05], shapes: [{ layers: 3, heads: 3 }], items: 6, seed: 2 },
  };
  const rows = await measureAccuracy(plan);
  const of = (method: string, kind = "parts") =>
    rows.find((row) => row.method === method && row.of === kind);
  expect(of("exact")?.accuracy).toBe(1);
  for (const method of ["activation", "atp", "eap", "eap-ig", "eap-ig, activations"]) {
    expect(of(method)?.averagePrecision, method).toBe(1);
    expect(of(method)?.rocAuc, method).toBe(1);
  }
  expect(of("exact")?.averagePrecision).toBeLessThan(1);
  expect(of("exact edges", "edges")?.averagePrecision).toBe(1);
  const text = accuracyTable(rows, plan);
  expect(text.startsWith(accuracyMark)).toBe(true);
  expect(text).toContain("exact, direct-gradient: the first two heads write to other positions");
});
