// Forward passes, decoding and loading, side by side with transformers (eager and sdpa) on the same
// random weights, in alternating rounds of one run. Prints one JSON object: milliseconds, the ratio
// to the fastest of transformers' ways with its range over the rounds, and floors.
//
//   npx tsx bench/forward.ts [--quick] [--dtype f32|bf16] [--only short,long,decode,load]
//                            [--width 512,2048] [--rounds 9] [--cpu] [--models FOLDER]
//
// Both sides give the logits of every sequence's last token. transformers runs the short prompts as
// one padded batch and one by one, with both kinds of attention; a round's ratio is to its fastest.
// --models keeps the models in a folder for the next run.
// --cpu is for a machine that is busy: CPU time, of one thread each.
// KEYHEADS_PYTHON names a Python with torch and transformers; without one only keyheads is timed.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { loadBinding } from "@keyheads/native";
import { Model, rng } from "keyheads";
import { findPython, median, Peer } from "./peer.ts";
import { blockParameters, type Dtype, RandomModels, type Shape } from "./random-llama.ts";
import { alternate, type Ratio, ratioOf } from "./rounds.ts";

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    dtype: { type: "string", default: "f32,bf16" },
    only: { type: "string", default: "short,long,decode,load" },
    width: { type: "string", default: "512,2048" },
    rounds: { type: "string" },
    cpu: { type: "boolean", default: false },
    models: { type: "string" },
  },
});
const list = (text: string) => text.split(",");
const rounds = Number(flags.rounds ?? (flags.quick ? 3 : 9));
const shapes: Record<string, Shape> = {
  512: { width: 512, layers: 8, heads: 8, mlp: 1408, vocab: 32_000 },
  2048: { width: 2048, layers: 4, heads: 16, mlp: 5632, vocab: 32_000 },
};
if (flags.cpu) loadBinding().setThreads(1);
const threads = loadBinding().info().threads;
const attentions = ["eager", "sdpa"] as const;
const random = rng(1);
const tokens = (length: number) => Array.from({ length }, () => random.int(32_000));
const short = Array.from({ length: 16 }, () => tokens(8 + random.int(25)));
const long = [tokens(1024)];
const prompt = tokens(64);

/** Seconds, of this process alone with --cpu. */
function now(): number {
  if (!flags.cpu) return performance.now() / 1000;
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

interface Entry {
  readonly case: string;
  readonly dtype: Dtype;
  readonly width: number;
  readonly ms: number;
  readonly peers: Readonly<Record<string, number>>;
  /** Of the fastest of the peer's ways, round by round. */
  readonly ratio?: Ratio;
  readonly largestDifference?: number;
  readonly gflop?: number;
  /** No faster than this: all operations at the machine's measured peak, or all weights read once. */
  readonly floorMs?: number;
}

interface Floors {
  readonly threads: number;
  /** Of float32 and of bfloat16 numbers. */
  readonly flops: number;
  readonly bf16Flops: number;
  readonly bytesRead: number;
}

const floors = measureFloors();
const python = findPython();
using peer = python === undefined ? undefined : new Peer(python, "torch_forward.py");
const versions = await peer?.ask<Record<string, string>>({ do: "setup", threads, cpu: flags.cpu });
if (!peer) console.error("no Python with torch and transformers (KEYHEADS_PYTHON): keyheads alone");
const results: Entry[] = [];
using models = new RandomModels(flags.models);
for (const width of list(flags.width)) {
  const shape = shapes[width];
  if (!shape) throw new Error(`--width ${width}: there are ${Object.keys(shapes).join(", ")}`);
  for (const dtype of list(flags.dtype) as Dtype[]) {
    await benchmarkModel(shape, dtype, await models.write(`${width}-${dtype}`, shape, dtype));
  }
}
console.log(JSON.stringify({ threads, ...versions, floors, rounds, results }, null, 1));

async function benchmarkModel(shape: Shape, dtype: Dtype, folder: string): Promise<void> {
  const wanted = list(flags.only);
  {
    using model = await Model.load(folder, { dtype });
    await peer?.ask({ do: "open", folder, dtype });
    if (wanted.includes("short")) await timeForward("short", model, shape, short);
    if (wanted.includes("long")) await timeForward("long", model, shape, long);
    if (wanted.includes("decode")) await timeDecoding(model, shape);
    await peer?.ask({ do: "close" });
  }
  if (wanted.includes("load")) await timeLoading(folder, shape, dtype);
}

async function timeForward(name: string, model: Model, shape: Shape, sequences: number[][]) {
  const run = async () => {
    const result = await model.forward({ sequences, readout: { logits: "all" } });
    return result.logits as Float32Array;
  };
  const ours = await run();
  const times = name === "short" && shape.width === 512 ? 5 : 1;
  const ways = sequences.length > 1 ? ["padded", "items"] : ["padded"];
  let largestDifference = 0;
  const theirs = peer
    ? attentions.flatMap((attention) =>
        ways.map((way): [string, () => Promise<number>] => {
          const request = { do: "forward", attention, way, sequences, times };
          return [
            `${attention} ${way}`,
            async () => {
              const answer = await peer.ask<{ seconds: number; logits: number[] }>(request);
              largestDifference = Math.max(largestDifference, difference(ours, answer.logits));
              return answer.seconds;
            },
          ];
        }),
      )
    : [];
  for (const [, once] of theirs) await once();
  const seconds = await alternate(rounds, {
    keyheads: () => medianSeconds(run, times),
    ...Object.fromEntries(theirs),
  });
  const rows = sequences.flat().length;
  const parameters = blockParameters(shape);
  const unembedding = shape.width * shape.vocab;
  // causal attention: scores and their mix, half of the square each
  const attention = sequences.reduce((sum, s) => sum + s.length * (s.length + 1), 0);
  const flop =
    2 * (parameters * rows + unembedding * sequences.length) +
    2 * attention * shape.width * shape.layers;
  report({ case: name, model, shape, seconds, largestDifference, flop });
}

async function timeDecoding(model: Model, shape: Shape) {
  const count = flags.quick ? 8 : 24;
  const decodeOnce = async () => {
    const times: number[] = [];
    let last = now();
    const ids = await model.generate(prompt, {
      maxTokens: count + 2,
      onToken: () => {
        times.push(now() - last);
        last = now();
      },
    });
    return { seconds: median(times.slice(2)), ids };
  };
  const { ids } = await decodeOnce();
  let different = 0;
  const theirs = peer
    ? attentions.map((attention): [string, () => Promise<number>] => {
        const request = { do: "decode", attention, prompt, tokens: count };
        return [
          attention,
          async () => {
            const answer = await peer.ask<{ seconds: number; ids: number[] }>(request);
            different = Math.max(different, answer.ids.filter((id, i) => id !== ids[i]).length);
            return answer.seconds;
          },
        ];
      })
    : [];
  for (const [, once] of theirs) await once();
  const seconds = await alternate(rounds, {
    keyheads: async () => (await decodeOnce()).seconds,
    ...Object.fromEntries(theirs),
  });
  const parameters = blockParameters(shape) + shape.width * shape.vocab;
  const bytes = parameters * (model.dtype === "bf16" ? 2 : 4);
  report({ case: "decode", model, shape, seconds, largestDifference: different, bytes });
}

async function timeLoading(folder: string, shape: Shape, dtype: Dtype) {
  const sequences = [tokens(16)];
  const loadOnce = async () => {
    const start = now();
    using model = await Model.load(folder, { dtype });
    await model.forward({ sequences, readout: { logits: "all" } });
    return now() - start;
  };
  const theirs = peer
    ? attentions.map((attention): [string, () => Promise<number>] => {
        const request = { do: "load", folder, attention, dtype, sequences };
        return [attention, async () => (await peer.ask<{ seconds: number }>(request)).seconds];
      })
    : [];
  await loadOnce();
  for (const [, once] of theirs) await once();
  const seconds = await alternate(rounds, {
    keyheads: loadOnce,
    ...Object.fromEntries(theirs),
  });
  const read = (blockParameters(shape) + shape.width * shape.vocab) * (dtype === "bf16" ? 2 : 4);
  report({ case: "load", model: { dtype }, shape, seconds, bytes: read });
}

function report(given: {
  readonly case: string;
  readonly model: { readonly dtype: string };
  readonly shape: Shape;
  readonly seconds: Record<string, number[]>;
  readonly largestDifference?: number;
  readonly flop?: number;
  readonly bytes?: number;
}) {
  const { keyheads: ours = [], ...theirs } = given.seconds;
  const fastest = ours.map((_, i) =>
    Math.min(...Object.values(theirs).map((seconds) => seconds[i] as number)),
  );
  const share = threads / (floors?.threads ?? threads);
  const peak = given.model.dtype === "bf16" ? floors?.bf16Flops : floors?.flops;
  const floor = Math.max(
    (given.flop ?? 0) / ((peak ?? Number.POSITIVE_INFINITY) * share),
    (given.bytes ?? 0) / (floors?.bytesRead ?? Number.POSITIVE_INFINITY),
  );
  const ms = (seconds: readonly number[]) => Number((1000 * median(seconds)).toPrecision(4));
  const entry: Entry = {
    case: given.case,
    dtype: given.model.dtype as Dtype,
    width: given.shape.width,
    ms: ms(ours),
    peers: Object.fromEntries(Object.entries(theirs).map(([name, s]) => [name, ms(s)])),
    ...(peer && { ratio: ratioOf(fastest, ours) }),
    ...(peer &&
      given.largestDifference !== undefined && { largestDifference: given.largestDifference }),
    ...(given.flop !== undefined && { gflop: given.flop / 1e9 }),
    ...(floor > 0 && { floorMs: ms([floor]) }),
  };
  results.push(entry);
  console.error(JSON.stringify(entry));
}

async function medianSeconds(run: () => Promise<unknown>, times: number): Promise<number> {
  const seconds: number[] = [];
  for (let i = 0; i < times; ++i) {
    const start = now();
    await run();
    seconds.push(now() - start);
  }
  return median(seconds);
}

function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} logits here, ${b.length} there`);
  let largest = 0;
  for (let i = 0; i < a.length; ++i) {
    largest = Math.max(largest, Math.abs((a[i] as number) - (b[i] as number)));
  }
  return largest;
}

/** Peak operations and bytes a second of this machine, if the native tests are built. */
function measureFloors(): Floors | undefined {
  const file = fileURLToPath(new URL("../native/build/Release/op_tests", import.meta.url));
  if (!existsSync(file)) return undefined;
  const { stdout, status } = spawnSync(file, ["--floors"], { encoding: "utf8" });
  return status === 0 ? JSON.parse(stdout) : undefined;
}
