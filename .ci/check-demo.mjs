// The demo's results must be there and must show what an independent implementation measured on the
// same model: which heads and MLPs carry the propagating column, as shares of the total effect.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const results = JSON.parse(readFileSync(join(folder, "results.json"), "utf8"));
const reportBytes = statSync(join(folder, "report.html")).size;
const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"));
const problems = [];
const expect = (what, ok) => {
  if (!ok) problems.push(what);
};

/** Measured beforehand: percentages of the total effect, agreement within 5 points. */
const margin = 0.05;
const directHeads = { 2.2: 0.5, 2.1: 0.16, 2.3: 0.16, "2.0": 0.06 };
const upstreamHeads = { "0.0": 0.55, 0.2: 0.13, 0.1: 0.1 };
const mlps = { 2: 0.92, 3: 0.92 };

const near = (name, got, wanted) =>
  expect(
    `${name} is ${got}, expected ${wanted} within ${margin}`,
    Math.abs(got - wanted) <= margin,
  );
const shareOf = (result, head) => {
  const [layer, index] = head.split(".").map(Number);
  return result.headShares[layer][index];
};

const [first] = results.experiments;
expect("results.json has no experiment", first !== undefined);
if (first) {
  const direct = first.directOnAll ?? first.direct;
  expect(`too few items: ${direct.items.used}`, direct.items.used >= 500);
  for (const [head, wanted] of Object.entries(directHeads)) {
    near(`direct share of head ${head}`, shareOf(direct, head), wanted);
  }
  for (const [layer, wanted] of Object.entries(mlps)) {
    near(`direct share of MLP ${layer}`, direct.mlpShares[layer], wanted);
  }
  expect("no total effect at all positions", first.totalAll !== undefined);
  for (const [head, wanted] of Object.entries(first.totalAll ? upstreamHeads : {})) {
    near(`total share of head ${head}`, shareOf(first.totalAll, head), wanted);
  }
}
expect("no tuning comparison", results.tuning !== undefined);
expect("unselected weights changed", results.tuning?.isolation.unselectedChanged === 0);
expect("no claims of the paper", results.claims.length > 0);
expect(`report.html has ${reportBytes} bytes only`, reportBytes > 20_000);
expect(`the manifest says ${manifest.status}`, manifest.status === "finished");

if (problems.length > 0) {
  process.stderr.write(`the demo's results are not as expected:\n  ${problems.join("\n  ")}\n`);
  process.exit(1);
}
process.stdout.write(`the demo's results are as expected: ${join(folder, "report.html")}\n`);
