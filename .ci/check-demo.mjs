// The demo's results must be there and must show what an independent implementation in PyTorch measured
// on the same model: which heads and MLPs write the sum, as shares of the total effect. Beside that,
// what heads look at, and that tuning them taught the model wordings that it did not know.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const results = JSON.parse(readFileSync(join(folder, "results.json"), "utf8"));
const reportBytes = statSync(join(folder, "report.html")).size;
const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"));
const tuned = JSON.parse(readFileSync(join(folder, "tuned", "keyheads.json"), "utf8"));
const problems = [];
const expect = (what, ok) => {
  if (!ok) problems.push(what);
};

/** Shares of the total effect on all items; agreement within 5 points. */
const margin = 0.05;
const directHeads = { 0.2: 0.53, "2.0": 0.07, 2.1: 0.01, "0.0": 0 };
const mlps = { 0: 0.62, 3: 0.01, 5: 0.14 };
const totalHeads = { 0.2: 1.01, "2.0": 0.06, 2.1: 0.01, "0.0": 0 };

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
  const { directOnAll: direct, totalAll, knockout, attention, lens } = first;
  expect(`too few items: ${direct.items.used}`, direct.items.used >= 500);
  for (const [head, wanted] of Object.entries(directHeads)) {
    near(`direct share of head ${head}`, shareOf(direct, head), wanted);
    near(`total share of head ${head}`, shareOf(totalAll, head), totalHeads[head]);
  }
  for (const [layer, wanted] of Object.entries(mlps)) {
    near(`direct share of MLP ${layer}`, direct.mlpShares[layer], wanted);
  }
  const [start, end] = [knockout.curve.at(0), knockout.curve.at(-1)];
  expect("removing the key heads does no harm", start.accuracy - end.accuracy > 0.2);
  expect("the control suffers from that", start.control - end.control < 0.05);
  const roles = (head) => attention.heads.find((one) => one.head === head)?.roles ?? {};
  expect("0.2 does not look at the operator", roles("0.2").operator?.mean > 0.9);
  const operands = (roles("2.0").operand1?.mean ?? 0) + (roles("2.0").operand2?.mean ?? 0);
  expect("2.0 does not look at the operands", operands > 0.8);
  expect("the last layer does not have the answer", lens.layers.at(-1).answerProb > 0.9);
}
const { tuning, evaluation } = results;
expect("no tuning comparison", tuning !== undefined);
if (tuning) {
  const accuracy = (classes) => classes.find(({ name }) => name === tuning.target)?.accuracy;
  const gained = accuracy(evaluation.after) - accuracy(evaluation.before);
  expect(`tuning gained ${gained} on ${tuning.target}, expected 0.4 or more`, gained >= 0.4);
  const draws = tuning.methods.filter(({ kind }) => kind === "random");
  expect(`${draws.length} random draws`, draws.length === 20);
  expect("unselected weights changed", tuning.isolation.unselectedChanged === 0);
  const { before, after } = tuning.isolation.unselectedHash;
  expect("the hash of what was not trained changed", before === after);
}
expect(
  "a slice of the saved model changed that was not selected",
  tuned.slices.every(({ selected, before, after }) => selected || before === after),
);
expect("no claims of the paper", results.claims.length > 0);
expect(`report.html has ${reportBytes} bytes only`, reportBytes > 20_000);
expect(`the manifest says ${manifest.status}`, manifest.status === "finished");

if (problems.length > 0) {
  process.stderr.write(`the demo's results are not as expected:\n  ${problems.join("\n  ")}\n`);
  process.exit(1);
}
process.stdout.write(`the demo's results are as expected: ${join(folder, "report.html")}\n`);
