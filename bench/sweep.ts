// Path patching and activation patching of every head, side by side with PyTorch on the same weights
// and items, in alternating rounds of one run: transformers with one hooked forward pass a variant over
// all items at once, and the same END-row algorithm as an expert writes it in PyTorch. Prints one JSON
// object: seconds, counted operations, ratios with their range over the rounds, and the share of the
// ceiling, which is the engine's own best matrix product at these shapes in the same run.
//
//   npx tsx bench/sweep.ts [--case large,small,long,activation,q,kv,agreement,memory,edges] [--dtype f32|bf16] [--rounds 7]
//                          [--readout all,tokens] [--methods eap,inputs,activations] [--hooked N] [--models FOLDER]
//
// --hooked N times hooked forward passes of N variants, evenly drawn, and scales the time to all. In the
// cases activation and kv, whose whole takes minutes, both sides are timed on evenly drawn variants: the
// case says how many of how many.
// The case memory takes direct paths of heads and pairs of heads in growing numbers, the answer only: how far the
// process grows while it computes them. The case edges times EAP and EAP-IG (--methods) over all edges; both without a peer.
// --models keeps the models in a folder for the next run.
// KEYHEADS_PYTHON names a Python with torch and transformers; without one only keyheads is timed.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type FloatArray, loadBinding } from "@keyheads/native";
import { type IdentifyOptions, type Item, identify, Model, rng } from "keyheads";
import { captureBank } from "../packages/keyheads/src/attribution/capture.ts";
import { allHeads } from "../packages/keyheads/src/attribution/component.ts";
import { patchInto } from "../packages/keyheads/src/attribution/paths/into.ts";
import { runSweep } from "../packages/keyheads/src/attribution/sweep.ts";
import { findPython, median, Peer } from "./peer.ts";
import { type Dtype, RandomModels, type Shape } from "./random-llama.ts";
import { alternate, ratioOf } from "./rounds.ts";

const { values: flags } = parseArgs({
  options: {
    case: { type: "string", default: "large" },
    dtype: { type: "string", default: "f32" },
    rounds: { type: "string", default: "7" },
    hooked: { type: "string", default: "6" },
    readout: { type: "string", default: "all,tokens" },
    methods: { type: "string", default: "eap,inputs,activations" },
    models: { type: "string" },
  },
});
const rounds = Number(flags.rounds);
const dtype = flags.dtype as Dtype;
const large: Shape = { layers: 12, heads: 12, width: 768, mlp: 2048, vocab: 32_000 };
const small: Shape = { layers: 6, heads: 8, width: 192, mlp: 512, vocab: 3072 };
const cases: Record<string, { shape: Shape; length: number; run: (at: Place) => Promise<void> }> = {
  large: { shape: large, length: 12, run: directPaths },
  small: { shape: small, length: 8, run: directPaths },
  long: { shape: large, length: 64, run: directPaths },
  activation: { shape: large, length: 12, run: activation },
  q: { shape: large, length: 12, run: (at) => receivers(at, "q") },
  kv: { shape: large, length: 12, run: (at) => receivers(at, "kv") },
  agreement: { shape: large, length: 12, run: agreement },
  memory: { shape: large, length: 12, run: memory },
  edges: { shape: large, length: 12, run: edges },
};
const items = 16;

interface Place {
  readonly name: string;
  readonly model: Model;
  readonly shape: Shape;
  readonly length: number;
  readonly reference: number[][];
  readonly counterfactual: number[][];
  readonly answers: number[];
}

const binding = loadBinding();
const python = findPython();
using peer = python === undefined ? undefined : new Peer(python, "torch_sweep.py");
using models = new RandomModels(flags.models);
const results: object[] = [];
for (const name of flags.case.split(",")) {
  const { shape, length, run } = cases[name] as (typeof cases)[string];
  const folder = await models.write(
    `${shape === small ? "small" : "large"}-${dtype}`,
    shape,
    dtype,
  );
  const random = rng(1);
  const sequences = () =>
    Array.from({ length: items }, () => Array.from({ length }, () => random.int(shape.vocab)));
  const [reference, counterfactual] = [sequences(), sequences()];
  const answers = Array.from({ length: items }, () => random.int(shape.vocab));
  using model = await Model.load(folder, { dtype });
  await peer?.ask({
    do: "open",
    ...{ folder, dtype, threads: binding.info().threads, reference, counterfactual, answers },
  });
  await run({ name, model, shape, length, reference, counterfactual, answers });
}
console.log(JSON.stringify({ ...binding.info(), dtype, rounds, results }, null, 1));

/** Base runs of X_r and X_c, the rows of all heads through the MLPs, and what is read of them. */
function operations({ shape, length }: Place, full: boolean): number {
  const { layers, heads, width, mlp, vocab } = shape;
  const block = 4 * width * width + 3 * width * mlp;
  const base = 2 * items * length * layers * block;
  const rows = heads * items;
  const chain =
    ((layers * (layers + 1)) / 2) * rows * 3 * width * mlp + layers * rows * width * width;
  return 2 * (base + chain + (full ? vocab * width * (layers * rows + items) : 0));
}

/** Base runs of both prompts, and the direct path of every head, with all logits or the answer's. */
async function sweepHeads(model: Model, at: Place, full: boolean) {
  const { bank } = await captureBank(model, at.counterfactual, "end", {});
  const { base, variants } = await runSweep(
    model,
    {
      sequences: at.reference,
      variants: allHeads(model.spec).map((sender) => [sender]),
      bank: { z: bank.z },
      freeze: "attention",
      positions: "end",
      readout: full ? { logits: "all" } : { logits: "tokens", tokens: Int32Array.from(at.answers) },
    },
    {},
  );
  return { base: base.logits as FloatArray, variants: variants.logits as FloatArray };
}

async function directPaths(at: Place): Promise<void> {
  const each = allHeads(at.model.spec).map(({ layer, head }) => [layer, head]);
  for (const readout of flags.readout.split(",") as ("all" | "tokens")[]) {
    const full = readout === "all";
    await compare(at, `${at.name}, ${full ? "full logits" : "answer only"}`, {
      ours: async () => (await sweepHeads(at.model, at, full)).variants,
      all: each.length,
      hooked: (some) => ({ do: "hooked_paths", senders: some.map((i) => each[i]), full }),
      expert: { do: "expert_paths", full },
      operations: operations(at, full),
      perVariant: items * (full ? at.shape.vocab : 1),
    });
  }
}

/** This dtype beside float32: ranks of the mean effects of all heads, and time. */
async function agreement(at: Place): Promise<void> {
  using wide = await Model.load(at.model.folder, { dtype: "f32" });
  const effects = async (model: Model) => {
    const { base, variants } = await sweepHeads(model, at, false);
    return allHeads(model.spec).map((_, v) => {
      const changes = [...base].map((from, i) => (variants[v * items + i] as number) - from);
      return changes.reduce((sum, x) => sum + x, 0) / items;
    });
  };
  const [these, those] = [await effects(at.model), await effects(wide)];
  const timed = async (model: Model, full: boolean) => {
    const begun = performance.now();
    await sweepHeads(model, at, full);
    return (performance.now() - begun) / 1000;
  };
  for (const full of flags.readout.split(",").map((readout) => readout === "all")) {
    const contestants = { these: () => timed(at.model, full), wide: () => timed(wide, full) };
    for (const warm of Object.values(contestants)) await warm();
    const seconds = await alternate(rounds, contestants);
    results.push({
      case: `${at.name}, ${full ? "full logits" : "answer only"}: ${dtype} beside f32`,
      ...{ seconds: median(seconds.these), wideSeconds: median(seconds.wide) },
      toWide: ratioOf(seconds.wide, seconds.these),
      spearman: spearman(these, those),
    });
    console.error(JSON.stringify(results.at(-1)));
  }
}

function spearman(a: readonly number[], b: readonly number[]): number {
  const ranks = (values: readonly number[]) => {
    const order = [...values.keys()].sort((i, j) => (values[i] as number) - (values[j] as number));
    const out = Array<number>(values.length).fill(0);
    order.forEach((at, rank) => {
      out[at] = rank;
    });
    return out;
  };
  const [x, y] = [ranks(a), ranks(b)];
  const n = a.length;
  const squares = x.reduce((sum, rank, i) => sum + (rank - (y[i] as number)) ** 2, 0);
  return 1 - (6 * squares) / (n * (n * n - 1));
}

/** Resident memory at most, above what was there before any variant, as their number grows. */
async function memory(at: Place): Promise<void> {
  const heads = allHeads(at.model.spec);
  const pairs = heads.flatMap((one, i) => heads.slice(i + 1).map((other) => [one, other]));
  const whole = [...heads.map((head) => [head]), ...pairs];
  const resident = (field: "VmRSS" | "VmHWM") => {
    const status = readFileSync("/proc/self/status", "utf8");
    return 1024 * Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]);
  };
  const { bank } = await captureBank(at.model, at.counterfactual, "end", {});
  const sweep = (variants: number) =>
    runSweep(
      at.model,
      {
        sequences: at.reference,
        variants: evenly(whole, variants),
        bank: { z: bank.z },
        freeze: "attention",
        positions: "end",
        readout: { logits: "tokens", tokens: Int32Array.from(at.answers) },
      },
      {},
    );
  await sweep(1);
  const before = resident("VmRSS");
  for (const share of [64, 16, 4, 2, 1]) {
    const variants = Math.floor(whole.length / share);
    // Puts the high-water mark back to what is resident now.
    writeFileSync("/proc/self/clear_refs", "5");
    await sweep(variants);
    const grownBytes = resident("VmHWM") - before;
    results.push({ case: `${at.name}, answer only`, variants, grownBytes });
    console.error(JSON.stringify(results.at(-1)));
  }
}

/** Every edge of the model, by gradients. */
async function edges(at: Place): Promise<void> {
  const set = at.reference.map((reference, i): Item => {
    const answerId = at.answers[i] as number;
    return {
      ...{ id: String(i), line: i + 1, promptIds: reference, answerIds: [answerId], target: 0 },
      ...{ reference, answerId, counterfactual: at.counterfactual[i] as number[] },
      counterfactualAnswerId: (answerId + 1) % at.shape.vocab,
      roles: {},
    };
  });
  const methods: Record<string, IdentifyOptions> = {
    eap: { method: "eap" },
    inputs: { method: "eap-ig", interpolate: "inputs" },
    activations: { method: "eap-ig", interpolate: "activations" },
  };
  const rate = gemmRate(at.shape);
  for (const name of flags.methods.split(",") as EdgeMethod[]) {
    const run = () =>
      identify(at.model, set, { ...methods[name], draws: 2, excludeUnchanged: false });
    const { edgeCount = 0 } = await run();
    const { ours } = await alternate(rounds, {
      ours: async () => {
        const begun = performance.now();
        await run();
        return (performance.now() - begun) / 1000;
      },
    });
    const [seconds, flop] = [median(ours), edgeOperations(at, edgeCount, name)];
    results.push({
      case: `${at.name}: ${name === "eap" ? "EAP" : `EAP-IG (${name}, 5 steps)`}`,
      ...{ edges: edgeCount, seconds, range: [Math.min(...ours), Math.max(...ours)] },
      ...{ gflop: flop / 1e9, gflopPerSecond: flop / 1e9 / seconds },
      ...{ ceilingGflopPerSecond: rate / 1e9, ofCeiling: flop / seconds / rate },
    });
    console.error(JSON.stringify(results.at(-1)));
  }
}

type EdgeMethod = "eap" | "inputs" | "activations";

/**
 * What senders add (two runs, in which every head's part of the output is told apart), then for two
 * metrics the runs forward and backward with the logits at END, and the products of all edges.
 */
function edgeOperations({ shape, length }: Place, edges: number, method: EdgeMethod): number {
  const { layers, width, mlp, vocab } = shape;
  const [rows, steps, metrics] = [items * length, 5, 2];
  const layer = rows * (4 * width * width + 3 * width * mlp);
  const added = 2 * layers * layer + 2 * layers * rows * width * width;
  const run = (depth: number) => 2 * (depth * layer + items * vocab * width);
  const products = edges * rows * width;
  if (method === "eap") return 2 * (added + metrics * (run(layers) + products));
  const runs = metrics * steps;
  if (method === "inputs") return 2 * (added + runs * (run(layers) + products));
  // Of the embeddings, and of each layer's heads and MLP, from that layer on.
  const ways = Array.from({ length: layers }, (_, l) => 2 * run(layers - l));
  const all = ways.reduce((sum, way) => sum + way, run(layers));
  return 2 * (added + 2 * layers * layer + runs * (all + products));
}

async function activation(at: Place): Promise<void> {
  const { layers, heads, dHead } = at.model.spec;
  const senders = allHeads(at.model.spec);
  const positions = Array.from({ length: at.length }, (_, p) => p);
  const whole = senders.flatMap(({ layer, head }) => positions.map((p) => [layer, head, p]));
  const each = evenly(whole, 144);
  const ours = async () => {
    const { bank } = await captureBank(at.model, at.counterfactual, "all", {});
    const width = heads * dHead;
    const { variants } = await at.model.sweep({
      sequences: at.reference,
      variants: each.map(([layer = 0, head = 0, p = 0]) => [
        {
          hook: `blocks.${layer}.attn.hook_z`,
          head,
          positions: [p],
          op: "set" as const,
          value: {
            array: bank.z,
            offset: (layer * bank.z.length) / layers + p * width + head * dHead,
            row: at.length * width,
          },
        },
      ]),
      readout: { logits: "tokens", tokens: Int32Array.from(at.answers) },
    });
    return variants.logits as FloatArray;
  };
  await compare(
    at,
    `${at.name}: every head at every position (${each.length} of ${whole.length} timed), answer only`,
    {
      ours,
      all: each.length,
      hooked: (some) => ({
        do: "hooked_activation",
        variants: some.map((i) => each[i]),
        full: false,
      }),
      perVariant: items,
    },
  );
}

async function receivers(at: Place, kind: "q" | "kv"): Promise<void> {
  const { layers, heads } = at.model.spec;
  const random = rng(3);
  const chosen = Array.from({ length: 8 }, (_, i) => {
    const layer = kind === "q" ? layers - 4 + (i % 4) : Math.floor((2 * layers) / 3) + (i % 4);
    return { input: kind === "q" ? "q" : i % 2 ? "v" : "k", layer, head: random.int(heads) };
  }) as { input: "q" | "k" | "v"; layer: number; head: number }[];
  const unique = [...new Map(chosen.map((one) => [JSON.stringify(one), one])).values()];
  const whole = allHeads(at.model.spec);
  const senders = kind === "q" ? whole : evenly(whole, 36);
  const pairs = at.reference.map((reference, i) => ({
    reference,
    counterfactual: at.counterfactual[i] as number[],
    answer: at.answers[i] as number,
    counterfactualAnswer: undefined,
    cluster: String(i),
    item: {} as never,
  }));
  const ours = async () => {
    const found = await patchInto(
      at.model,
      pairs,
      {
        senders,
        receivers: unique,
        at: kind === "q" ? "end" : "all",
        freeze: "attention",
        wholeGroups: false,
        logsumexp: false,
        naive: false,
      },
      {},
    );
    return Float32Array.from(
      found.flatMap(({ logits }) => [...(logits ?? [])].filter((_, i) => i % 2 === 0)),
    );
  };
  const each = senders.map(({ layer, head }) => [layer, head]);
  await compare(
    at,
    `${at.name}: ${senders.length} of ${whole.length} heads into ${unique.length} receivers, answer only`,
    {
      ours,
      all: each.length,
      hooked: (some) => ({
        do: "hooked_receivers",
        senders: some.map((i) => each[i]),
        receivers: unique.map(({ input, layer, head }) => [input, layer, head]),
        everywhere: kind === "kv",
        full: false,
      }),
      perVariant: items,
    },
  );
}

/** So many of them, evenly drawn. */
function evenly<T>(of: readonly T[], count: number): T[] {
  const n = Math.min(of.length, count);
  return Array.from({ length: n }, (_, i) => of[Math.floor(((i + 0.5) * of.length) / n)] as T);
}

interface Contest {
  readonly ours: () => Promise<FloatArray>;
  /** Variants in all. */
  readonly all: number;
  readonly hooked: (variants: readonly number[]) => object;
  readonly expert?: object;
  readonly operations?: number;
  /** Numbers that a variant gives. */
  readonly perVariant: number;
}

async function compare(at: Place, what: string, contest: Contest): Promise<void> {
  const { ours, all, expert, perVariant } = contest;
  const found = await ours();
  const sample = evenly([...Array(all).keys()], Number(flags.hooked));
  const hooked = contest.hooked(sample);
  let largestDifference: number | undefined;
  if (peer) {
    const { values } = await peer.ask<{ values: number[] }>({ ...hooked, show: true });
    const mine = sample.flatMap((v) => [...found.subarray(v * perVariant, (v + 1) * perVariant)]);
    largestDifference = values.reduce(
      (most, x, i) => Math.max(most, Math.abs(x - (mine[i] as number))),
      0,
    );
    if (expert) await peer.ask({ ...expert });
  }
  const ask = (request: object) => async () =>
    (await (peer as Peer).ask<{ seconds: number }>({ ...request })).seconds;
  const seconds = await alternate(rounds, {
    ours: async () => {
      const start = performance.now();
      await ours();
      return (performance.now() - start) / 1000;
    },
    ...(peer && { hooked: ask(hooked), ...(expert && { expert: ask(expert) }) }),
  });
  const times = seconds as Record<"ours" | "hooked" | "expert", number[]>;
  const all_hooked = times.hooked?.map((s) => (s * all) / sample.length);
  const rate = contest.operations && gemmRate(at.shape);
  const time = median(times.ours);
  results.push({
    case: what,
    variants: all,
    seconds: time,
    ...(all_hooked && {
      hookedSeconds: median(all_hooked),
      hookedTimed: sample.length,
      toHooked: ratioOf(all_hooked, times.ours),
      largestDifference,
    }),
    ...(times.expert && {
      expertSeconds: median(times.expert),
      toExpert: ratioOf(times.expert, times.ours),
    }),
    ...(contest.operations &&
      rate && {
        gflop: contest.operations / 1e9,
        gflopPerSecond: contest.operations / 1e9 / time,
        ceilingGflopPerSecond: rate / 1e9,
        ofCeiling: contest.operations / time / rate,
      }),
  });
  console.error(JSON.stringify(results.at(-1)));
}

/** Best of the products that the chain and the unembedding are made of, at their largest. */
function gemmRate({ layers, heads, width, mlp, vocab }: Shape): number {
  const tests = fileURLToPath(new URL("../native/build/Release/op_tests", import.meta.url));
  const rows = layers * heads * items;
  const shapes = [
    [rows, mlp, width],
    [rows, width, mlp],
    [rows, vocab, width],
  ].flat();
  const { stdout } = spawnSync(tests, ["--gemm", dtype, ...shapes.map(String)], {
    encoding: "utf8",
  });
  const rates = JSON.parse(stdout) as { flops: number }[];
  return Math.max(...rates.map(({ flops }) => flops));
}
