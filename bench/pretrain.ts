// Training of a whole small model from scratch, side by side with PyTorch on the same weights and
// tokens, in alternating rounds of one run: tokens a second, and how far the losses differ.
//
//   npx tsx bench/pretrain.ts [--rounds 5] [--steps 4] [--threads N] [--dtype f32,bf16]
//
// KEYHEADS_PYTHON names a Python with torch and transformers; without one only the engine is timed.
import { parseArgs } from "node:util";
import { loadBinding } from "@keyheads/native";
import { Model, rng, selectSlices, type Trainer } from "keyheads";
import { findPython, median, Peer } from "./peer.ts";
import { type Dtype, RandomModels } from "./random-llama.ts";
import { alternate, ratioOf } from "./rounds.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    steps: { type: "string", default: "4" },
    threads: { type: "string", default: "0" },
    dtype: { type: "string", default: "f32,bf16" },
  },
});
const [rounds, steps] = [Number(values.rounds), Number(values.steps)];
const dtypes = values.dtype.split(",") as Dtype[];
/** That of docs/pretraining.md. */
const shape = { width: 192, layers: 6, heads: 8, mlp: 512, vocab: 2048, tied: true };
const [sequences, length] = [24, 96];
const lr = 3e-4;

const random = rng(1);
const batches = Array.from({ length: 8 }, () =>
  Array.from({ length: sequences }, () =>
    Array.from({ length: length + 1 }, () => random.int(shape.vocab)),
  ),
);
using models = new RandomModels();
const folder = await models.write("model", shape, "f32");
const options = { threads: Number(values.threads) };
const trainers = new Map<Dtype, Trainer>();
for (const dtype of dtypes) {
  const model = await Model.load(folder, { ...options, dtype });
  trainers.set(dtype, await model.createTrainer(selectSlices(model, { everything: true })));
}
const threads = loadBinding().info().threads;

/** Losses of steps `from` to `to`. */
async function train(dtype: Dtype, from: number, to: number): Promise<number[]> {
  const trainer = trainers.get(dtype) as Trainer;
  const losses: number[] = [];
  for (let step = from; step < to; ++step) {
    const batch = batches[step % batches.length] as number[][];
    const targets = Int32Array.from(batch.flatMap((ids) => ids.slice(1)));
    const { objective } = await trainer.accumulate({
      sequences: batch.map((ids) => ids.slice(0, -1)),
      objective: {
        kind: "cross-entropy",
        rows: targets.map((_, row) => row),
        targets,
        weights: new Float64Array(targets.length).fill(1 / targets.length),
      },
    });
    const rates = { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.1 };
    await trainer.update({ ...rates, clip: 1, gradientScale: 1 });
    losses.push(objective);
  }
  return losses;
}

const python = findPython();
using peer = python ? new Peer(python, "torch_pretrain.py") : undefined;
const ready = await peer?.ask<{ ready: string }>({ folder, threads, lr, batches });
if (!peer) console.error("no Python with torch and transformers (KEYHEADS_PYTHON): keyheads alone");

const results: Record<string, object> = {};
for (const dtype of dtypes) {
  const done = { keyheads: 0, torch: 0 };
  const losses = { keyheads: [] as number[], torch: [] as number[] };
  const timed = (name: "keyheads" | "torch", run: typeof train) => async () => {
    const from = done[name];
    done[name] += steps;
    const start = performance.now();
    losses[name].push(...(await run(dtype, from, done[name])));
    return (performance.now() - start) / 1000;
  };
  const theirs: typeof train = async (dtype, from, to) =>
    (await (peer as Peer).ask<{ losses: number[] }>({ dtype, from, to })).losses;
  const contestants = {
    keyheads: timed("keyheads", train),
    ...(peer && { torch: timed("torch", theirs) }),
  };
  for (const run of Object.values(contestants)) await run();
  const seconds = await alternate(rounds, contestants);
  const speed = (times: readonly number[]) =>
    Math.round((steps * sequences * length) / median(times));
  results[dtype] = {
    keyheadsTokensPerSecond: speed(seconds.keyheads),
    ...(peer && {
      torchTokensPerSecond: speed(seconds.torch as number[]),
      ratio: ratioOf(seconds.torch as number[], seconds.keyheads),
      largestLossDifference: Math.max(
        ...losses.torch.map((loss, i) => Math.abs(loss - (losses.keyheads[i] as number))),
      ),
    }),
  };
}
console.log(
  JSON.stringify({ ...shape, sequences, length, threads, rounds, torch: ready?.ready, ...results }),
);
