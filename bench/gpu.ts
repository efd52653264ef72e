// Forward passes, path patching, precise tuning and captures on a GPU, beside PyTorch on the same card
// with the same random weights, in alternating rounds of one run. Prints one JSON object: seconds,
// ratios with their range over the rounds, and the two floors of each case: its operations at the
// card's matrix rate and its bytes at the card's memory rate, both measured by PyTorch in the same run.
//
//   npm run bench:gpu -- [--shape 7b|small] [--case forward,paths,tuning,capture] [--rounds 7]
//                        [--device cuda|cpu] [--dtype bf16|f32]
//
// Both sides wait for the device at the end of what is timed. --device cpu with --shape small tries the
// script itself. KEYHEADS_PYTHON names a Python with torch and transformers; without one only keyheads
// is timed, and no floors are known.
import { parseArgs } from "node:util";
import type { FloatArray } from "@keyheads/native";
import { fixedAnswers, hooks, Model, rng, selectSlices } from "keyheads";
import { captureBank } from "../packages/keyheads/src/attribution/capture.ts";
import { allHeads, allMlps } from "../packages/keyheads/src/attribution/component.ts";
import { runSweep } from "../packages/keyheads/src/attribution/sweep.ts";
import { PrefixCache } from "../packages/keyheads/src/tuning/prefix-cache.ts";
import { trainStep } from "../packages/keyheads/src/tuning/train-step.ts";
import { findPython, median, Peer } from "./peer.ts";
import { blockParameters, type Dtype, RandomModels, type Shape } from "./random-llama.ts";
import { alternate, ratioOf } from "./rounds.ts";

interface Setup {
  readonly shape: Shape;
  readonly short: readonly [items: number, length: number];
  readonly long: readonly [items: number, length: number];
  readonly patched: readonly [items: number, length: number];
  readonly tuned: readonly [items: number, length: number];
  /** Layers whose heads are tuned, first and last. */
  readonly layers: readonly [number, number];
  readonly tunedHeads: number;
}
const setups: Record<string, Setup> = {
  "7b": {
    shape: { layers: 32, heads: 32, width: 4096, mlp: 11_008, vocab: 32_000 },
    short: [64, 12],
    long: [4, 2048],
    patched: [64, 12],
    tuned: [8, 256],
    layers: [11, 17],
    tunedHeads: 32,
  },
  small: {
    shape: { layers: 3, heads: 4, width: 128, mlp: 352, vocab: 500 },
    short: [8, 12],
    long: [2, 64],
    patched: [4, 12],
    tuned: [2, 32],
    layers: [1, 2],
    tunedHeads: 4,
  },
};
const { values: flags } = parseArgs({
  options: {
    shape: { type: "string", default: "7b" },
    case: { type: "string", default: "forward,paths,tuning,capture" },
    rounds: { type: "string", default: "7" },
    device: { type: "string", default: "cuda" },
    dtype: { type: "string", default: "bf16" },
  },
});
const setup = setups[flags.shape];
if (!setup) throw new Error(`--shape ${flags.shape}: there are ${Object.keys(setups).join(", ")}`);
const { shape } = setup;
const rounds = Number(flags.rounds);
const dtype = flags.dtype as Dtype;
const device = flags.device as "cuda" | "cpu";
const random = rng(1);
const sequences = ([items, length]: readonly [number, number]) =>
  Array.from({ length: items }, () => Array.from({ length }, () => random.int(shape.vocab)));

const python = findPython();
using peer = python === undefined ? undefined : new Peer(python, "torch_gpu.py");
using models = new RandomModels();
const folder = await models.write(`${flags.shape}-${dtype}`, shape, dtype);
const loading = performance.now();
using model = await Model.load(folder, { dtype, device });
const loadSeconds = (performance.now() - loading) / 1000;
const rates = await peer?.ask<{ flops: number; bytes: number; torch: string; device: string }>({
  do: "open",
  ...{ folder, dtype, device },
});
const weightBytes =
  (dtype === "bf16" ? 2 : 4) * (blockParameters(shape) + shape.vocab * shape.width);
const results: object[] = [];

interface Case {
  readonly name: string;
  readonly ours: () => Promise<unknown>;
  /** Requests of the PyTorch side, by what they are called in the result. */
  readonly theirs: Readonly<Record<string, object>>;
  readonly operations: number;
  readonly bytes: number;
  /** By how much the time of a request is multiplied, where it does a part of the work. */
  readonly scale?: Readonly<Record<string, number>>;
}

async function compare({ name, ours, theirs, operations, bytes, scale = {} }: Case) {
  await ours();
  const contestants: Record<string, () => Promise<number>> = {
    keyheads: async () => {
      const start = performance.now();
      await ours();
      return (performance.now() - start) / 1000;
    },
  };
  for (const [key, request] of Object.entries(peer ? theirs : {})) {
    contestants[key] = async () => {
      const { seconds } = await (peer as Peer).ask<{ seconds: number }>(request);
      return seconds * (scale[key] ?? 1);
    };
  }
  const seconds = await alternate(rounds, contestants);
  const own = seconds.keyheads as number[];
  results.push({
    name,
    seconds: median(own),
    ...Object.fromEntries(
      Object.keys(theirs).map((key) => {
        const times = seconds[key];
        return [key, times && { seconds: median(times), ratio: ratioOf(times, own) }];
      }),
    ),
    teraOperations: operations / 1e12,
    gigabytes: bytes / 1e9,
    ...(rates && {
      floorSeconds: { operations: operations / rates.flops, bytes: bytes / rates.bytes },
      shareOfMatrixRate: operations / rates.flops / median(own),
    }),
  });
  console.error(JSON.stringify(results.at(-1)));
}

/** Operations of a forward pass but for its logits: matrices, scores and what they weigh. */
const forwardOperations = ([items, length]: readonly [number, number]) =>
  2 * items * length * blockParameters(shape) +
  2 * 2 * items * shape.layers * shape.width * ((length * (length + 1)) / 2);

async function forward() {
  for (const size of [setup?.short, setup?.long] as const) {
    if (!size) continue;
    const tokens = sequences(size);
    await compare({
      name: `forward of ${size.join(" x ")} tokens`,
      ours: () =>
        model.forward({ sequences: tokens, readout: { positions: "end", logits: "all" } }),
      theirs: { torch: { do: "forward", tokens } },
      operations: forwardOperations(size) + 2 * size[0] * shape.vocab * shape.width,
      bytes: weightBytes,
    });
  }
}

async function paths() {
  const size = (setup as Setup).patched;
  const [reference, counterfactual] = [sequences(size), sequences(size)];
  const answers = Int32Array.from(reference, () => random.int(shape.vocab));
  const senders = [...allHeads(model.spec), ...allMlps(model.spec)];
  const { layers, heads, width, mlp } = shape;
  const block = 3 * width * mlp;
  // Every head's rows pass the MLPs from its own layer on, an MLP's those behind it.
  const chain =
    (heads * ((layers * (layers + 1)) / 2) + (layers * (layers - 1)) / 2) * block +
    layers * heads * width * (width / heads);
  const probes = 4;
  const few = Array.from({ length: probes }, (_, i) =>
    Math.floor(((i + 0.5) * layers * heads) / probes),
  );
  await compare({
    name: `path patching of ${senders.length} senders, ${size.join(" x ")} tokens, answer logits`,
    ours: async () => {
      const { bank } = await captureBank(model, counterfactual, "end", {});
      const { variants } = await runSweep(
        model,
        {
          sequences: reference,
          variants: senders.map((sender) => [sender]),
          bank: { z: bank.z, mlp: bank.mlp },
          freeze: "attention",
          positions: "end",
          readout: { logits: "tokens", tokens: answers },
        },
        {},
      );
      return variants.logits as FloatArray;
    },
    theirs: {
      hooked: {
        do: "hooked",
        ...{ reference, counterfactual, answers: [...answers] },
        senders: few.map((i) => [Math.floor(i / heads), i % heads]),
      },
    },
    scale: { hooked: senders.length / probes },
    operations: 2 * forwardOperations(size) + 2 * size[0] * chain,
    bytes: weightBytes,
  });
}

async function tuning() {
  const { tuned, layers, tunedHeads } = setup as Setup;
  const [lowest, highest] = layers;
  const count = highest - lowest + 1;
  const heads = Array.from({ length: tunedHeads }, (_, i) => ({
    layer: lowest + (i % count),
    head: (5 * i + Math.floor(i / count)) % shape.heads,
  }));
  const [items, length] = tuned;
  const tokens = Int32Array.from({ length: items * (length + 1) }, () => random.int(shape.vocab));
  const rows = Array.from({ length: items }, (_, item) =>
    Array.from(tokens.subarray((length + 1) * item, (length + 1) * (item + 1))),
  );
  const request = {
    ...{ lr: 1e-5, beta1: 0.9, beta2: 0.999, eps: 1e-8 },
    ...{ weightDecay: 0, clip: 1, gradientScale: 1 },
  };
  using trainer = await model.createTrainer(selectSlices(model, { heads }));
  for (const supervised of [length, Math.min(8, length)]) {
    const set = fixedAnswers(tokens, {
      length: length + 1,
      promptLength: length + 1 - supervised,
    });
    const all = supervised === length;
    const prefix = all ? undefined : new PrefixCache(model, set, lowest);
    // Forward from the lowest layer or from the cached stream on, and back to the lowest.
    const back = (shape.layers - lowest) / shape.layers;
    const operations = forwardOperations(tuned) * (all ? 1 + back : 2 * back);
    await compare({
      name: `one update of ${tunedHeads} heads, ${tuned.join(" x ")} tokens, ${supervised} supervised${all ? "" : ", prefix kept"}`,
      ours: () =>
        trainStep(
          trainer,
          set,
          rows.map((_, i) => i),
          { batch: items, request, name: "", prefix },
        ),
      theirs: {
        torch: {
          do: "update",
          ...{ rows, supervised, lr: request.lr },
          heads: heads.map(({ layer, head }) => [layer, head]),
        },
      },
      operations: operations + 6 * items * supervised * shape.vocab * shape.width,
      bytes: 2 * weightBytes,
    });
  }
}

async function capture() {
  const size = (setup as Setup).short;
  const tokens = sequences(size);
  const captures = Array.from({ length: shape.layers }, (_, layer) => ({ hook: hooks.z(layer) }));
  const run = async (all: boolean) => {
    const start = performance.now();
    await model.forward({
      sequences: tokens,
      readout: { positions: "end", logits: "none", argmax: true },
      ...(all && { captures }),
    });
    return (performance.now() - start) / 1000;
  };
  await run(true);
  const seconds = await alternate(Math.max(rounds, 30), {
    without: () => run(false),
    with: () => run(true),
  });
  results.push({
    name: "capture of all z against none",
    ratio: ratioOf(seconds.with, seconds.without),
  });
}

const cases: Record<string, () => Promise<void>> = { forward, paths, tuning, capture };
for (const name of flags.case.split(",")) {
  const run = cases[name];
  if (!run) throw new Error(`--case ${name}: there are ${Object.keys(cases).join(", ")}`);
  await run();
}
console.log(
  JSON.stringify(
    { shape: flags.shape, dtype, device, rounds, loadSeconds, rates, results },
    null,
    1,
  ),
);
