// Loss curves beside PyTorch's: 200 updates of a 6-layer model of width 192 at learning rate 1e-4, on the
// same weights and the same batches, for everything, selected heads, and LoRA. Says how far the curves
// are apart, relative to the loss. Not a speed test; exit code 1 if they are further apart than 1e-3.
//
//   KEYHEADS_PYTHON=... npx tsx bench/curves.ts [--steps 200]
import { parseArgs } from "node:util";
import { loadBinding } from "@keyheads/native";
import { type AddedWeights, fixedAnswers, Model, planTuning, rng } from "keyheads";
import { addPlanned } from "../packages/keyheads/src/tuning/added.ts";
import { trainedSlices } from "../packages/keyheads/src/tuning/plan.ts";
import { trainStep } from "../packages/keyheads/src/tuning/train-step.ts";
import { findPython, Peer } from "./peer.ts";
import { RandomModels } from "./random-llama.ts";

const { values } = parseArgs({ options: { steps: { type: "string", default: "200" } } });
const steps = Number(values.steps);
const shape = { width: 192, layers: 6, heads: 6, mlp: 512, vocab: 1000 };
const [sequences, length, batches] = [8, 32, 20];
const heads = [1, 2, 3, 4].map((layer) => ({ layer, head: (2 * layer) % shape.heads }));
const optimizer = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, clip: 1 };
const request = { lr: 1e-4, gradientScale: 1, ...optimizer };
const tolerance = 1e-3;

const python = findPython();
if (python === undefined) throw new Error("KEYHEADS_PYTHON must name a Python with torch");
using models = new RandomModels();
const folder = await models.write("curves", shape, "f32");
// The same tokens come again, so that there is something to learn.
const random = rng(3);
const tokens = Int32Array.from({ length: batches * sequences * (length + 1) }, () =>
  random.int(shape.vocab),
);
const set = fixedAnswers(tokens, { length: length + 1, promptLength: 1 });
const rows = Array.from({ length: batches * sequences }, (_, i) =>
  Array.from(tokens.subarray(i * (length + 1), (i + 1) * (length + 1))),
);

const results: object[] = [];
for (const method of ["full", "precise", "lora"] as const) {
  using model = await Model.load(folder);
  const select = method === "precise" ? { heads } : method === "full" ? { everything: true } : {};
  const plan = planTuning(model, { method, select });
  await addPlanned(model, plan.added, 1);
  const factors = await Promise.all(plan.added.added.map((added) => readFactors(model, added)));
  using trainer = await model.createTrainer(trainedSlices(plan));
  const ours: number[] = [];
  for (let step = 0; step < steps; ++step) {
    const items = batchOf(step);
    const { loss } = await trainStep(trainer, set, items, {
      batch: sequences,
      request,
      name: method,
    });
    ours.push(loss);
  }
  using peer = new Peer(python, "torch_tuning.py");
  await peer.ask({
    folder,
    dtype: "f32",
    threads: loadBinding().info().threads,
    heads: heads.map(({ layer, head }) => [layer, head]),
    tokens: rows.slice(0, sequences).map((row) => row.slice(0, -1)),
    targets: rows.slice(0, sequences).map((row) => row.slice(1)),
    factors,
  });
  const { losses } = await peer.ask<{ losses: number[] }>({
    method: method === "precise" ? "masked" : method,
    supervised: length,
    lr: request.lr,
    curve: Array.from({ length: steps }, (_, step) => batchOf(step).map((item) => rows[item])),
  });
  const apart = ours.map((loss, step) => Math.abs(loss / (losses[step] as number) - 1));
  results.push({ method, first: ours[0], last: ours.at(-1), apart: Math.max(...apart) });
  if (!(Math.max(...apart) < tolerance)) process.exitCode = 1;
}
console.log(JSON.stringify({ shape, steps, tolerance, results }, null, 1));

function batchOf(step: number): number[] {
  const first = (step % batches) * sequences;
  return Array.from({ length: sequences }, (_, i) => first + i);
}

/** A of a matrix, for PyTorch to begin with the same. */
async function readFactors(model: Model, added: AddedWeights) {
  if (!("rank" in added)) throw new Error("only low-rank factors are compared");
  const a = await model.readWeight({ ...added, slot: `${added.slot}.loraA` });
  return { slot: added.slot, layer: added.layer, rank: added.rank, a: Array.from(a) };
}
