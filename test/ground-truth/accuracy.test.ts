import { expect, it } from "vitest";
import {
  accuracyMark,
  accuracyTable,
  measureAccuracy,
} from "../../packages/keyheads/src/ground-truth/accuracy-table.ts";
import { cases } from "../../packages/keyheads/src/ground-truth/cases/index.ts";
import { judgedMethods } from "../../packages/keyheads/src/ground-truth/judge.ts";
import { averagePrecision, rocAuc } from "../../packages/keyheads/src/ground-truth/ranking.ts";

it("average precision and ROC-AUC, by hand", () => {
  const belongs = [true, false, true, false];
  expect(averagePrecision([4, 3, 2, 1], belongs)).toBeCloseTo((1 + 2 / 3) / 2, 12);
  expect(rocAuc([4, 3, 2, 1], belongs)).toBeCloseTo(3 / 4, 12);
  // All equal: the mean over the six places of two members among four.
  const orders = [1, (1 + 2 / 3) / 2, (1 + 2 / 4) / 2, (1 / 2 + 2 / 3) / 2, (1 / 2 + 2 / 4) / 2];
  const mean = [...orders, (1 / 3 + 2 / 4) / 2].reduce((a, b) => a + b, 0) / 6;
  expect(averagePrecision([0, 0, 0, 0], belongs)).toBeCloseTo(mean, 12);
  // One member first, the other anywhere among three that tie.
  const rest = (1 + 2 / 2 + (1 + 2 / 3) + (1 + 2 / 4)) / 6;
  expect(averagePrecision([5, 0, 0, 0], belongs)).toBeCloseTo(rest, 12);
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

it("a part without an effect ties with everything else that has none", async () => {
  // The selector writes at END and moves the norm there: path patching sees less than 5 % of the total.
  const plan = {
    ...{ cases: ["saturated"], noise: [0], shapes: [{ layers: 3, heads: 3 }], items: 6, seed: 2 },
  };
  const rows = await measureAccuracy(plan);
  const of = (method: string) =>
    rows.find((row) => row.method === method && row.of === "parts")?.averagePrecision as number;
  // One of two parts first, the other somewhere among eleven.
  const chance = Array.from({ length: 11 }, (_, i) => (1 + 2 / (i + 2)) / 2 / 11);
  const expected = chance.reduce((a, b) => a + b, 0);
  for (const method of ["exact", "direct-gradient", "atp", "eap"]) {
    expect(of(method), method).toBeCloseTo(expected, 12);
  }
  for (const method of ["activation", "eap-ig"]) expect(of(method), method).toBe(1);
});

it.each(cases.map(({ name }) => name))(
  "%s: what is missed has a reason, and reasons hold",
  async (name) => {
    const shapes = [{ layers: 4, heads: 4 }];
    const rows = await measureAccuracy({ cases: [name], noise: [0], shapes, items: 8, seed: 1 });
    const why = cases.find((one) => one.name === name)?.why ?? {};
    for (const { name: method, blindTo } of judgedMethods) {
      const found = rows.find((row) => row.method === method && row.of === "parts");
      const missed = (found?.averagePrecision as number) < 1 - 1e-9;
      expect(missed, method).toBe(blindTo.some((kind) => why[kind] !== undefined));
    }
  },
);
