// What hooks cost in a forward pass of 16 short prompts: none asked for (against a build without
// any), every z captured, one head edited in every layer, a JavaScript function called in every
// layer; and what plain PyTorch hooks cost that keep a copy of every z, or call a Python function.
// Prints one JSON object; overheads are means of paired rounds with their 95 % interval. A round is the
// median of some passes of each, in turn; each sample is taken with Benchmark.js.
//
//   npx tsx bench/hooks.ts [MODEL] [--quick] [--rounds 30] [--passes 3] [--only data,functions,idle,pytorch]
//
// MODEL is a folder or the name of a bundled model; the default is random, of width 512, 8 layers.
// The build without taps: npx cmake-js build --directory native --out native/build --target
// keyheads_without_taps. KEYHEADS_PYTHON names a Python with torch and transformers.
import { parseArgs } from "node:util";
import { loadBinding } from "@keyheads/native";
import { hooks, Model, resolveModel, rng } from "keyheads";
import { compareWithoutTaps } from "./idle.ts";
import { findPython, median, Peer } from "./peer.ts";
import { RandomModels } from "./random-llama.ts";
import { alternate } from "./rounds.ts";
import { overhead, sample } from "./sample.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    passes: { type: "string", default: "3" },
    only: { type: "string", default: "data,functions,idle,pytorch" },
  },
});
const passes = Number(flags.passes);
const wanted = flags.only.split(",");
const rounds = Number(flags.rounds ?? (flags.quick ? 5 : 30));
using models = new RandomModels();
const folder = positionals[0]
  ? await resolveModel(positionals[0])
  : await models.write(
      "random",
      { width: 512, layers: 8, heads: 8, mlp: 1408, vocab: 32_000 },
      "f32",
    );
using model = await Model.load(folder);
const random = rng(1);
const { layers, vocab, context } = model.spec;
const sequences = Array.from({ length: 16 }, () =>
  Array.from({ length: Math.min(8 + random.int(25), context) }, () => random.int(vocab)),
);
const readout = { logits: "none" as const, argmax: true };
const sites = Array.from({ length: layers }, (_, layer) => ({ hook: hooks.z(layer) }));
// at some the next function is a whole layer away, at others nothing is computed in between
const manySites = sites.flatMap((site, layer) => [
  { hook: hooks.q(layer) },
  { hook: hooks.k(layer) },
  { hook: hooks.v(layer) },
  site,
]);
const forward = (options: object) => () =>
  sample(() => model.forward({ sequences, readout, ...options }));
// one head's values at so many positions are at most 64 kB
const rows = Int32Array.from(
  { length: Math.min(sequences.flat().length, Math.floor(65_536 / 4 / model.spec.dHead)) },
  (_, row) => row,
);
const withFunctions = (rows: Int32Array, where = sites) => {
  const calls = where.map((site) => [{ ...site, head: 0, rows }, () => undefined] as const);
  return () => sample(() => model.runWithHooks(sequences, calls, { readout }));
};

const results: Record<string, unknown> = {};
if (wanted.includes("data")) {
  const { none, ...hooked } = await alternate(
    rounds,
    {
      none: forward({}),
      "every z captured": forward({ captures: sites }),
      "one head zeroed in every layer": forward({
        edits: sites.map((site) => ({ ...site, head: 0, op: "zero" as const })),
      }),
    },
    passes,
  );
  results.milliseconds = 1000 * median(none);
  for (const [name, seconds] of Object.entries(hooked)) results[name] = overhead(seconds, none);
}
if (wanted.includes("functions")) {
  const sizes = {
    "on one row": rows.subarray(0, 1),
    [`on ${rows.length * model.spec.dHead * 4} bytes`]: rows,
  };
  const contestants = Object.entries(sizes).flatMap(([size, rows]) => [
    [size, withFunctions(rows)] as const,
    [`${size}, last layer only`, withFunctions(rows, sites.slice(-1))] as const,
    [`${size}, four a layer`, withFunctions(rows, manySites)] as const,
  ]);
  const { none = [], ...seconds } = await alternate(
    rounds,
    { none: forward({}), ...Object.fromEntries(contestants) },
    passes,
  );
  const every = Object.fromEntries(Object.keys(sizes).map((size) => [size, seconds[size] ?? []]));
  results["microseconds of a function's firing"] = firings({ none, ...every });
  const many = Object.keys(sizes).map((size) => [size, seconds[`${size}, four a layer`] ?? []]);
  results["microseconds of a firing, four a layer"] = firings(
    { none, ...Object.fromEntries(many) },
    manySites.length,
  );
  results["microseconds of one more"] = Object.fromEntries(
    Object.entries(every).map(([size, all]) => {
      const last = seconds[`${size}, last layer only`] ?? [];
      return [size, microseconds(all, last, layers - 1)];
    }),
  );
}
if (wanted.includes("idle")) {
  const idle = await compareWithoutTaps(folder, sequences, rounds, passes);
  if (idle) results["idle hooks"] = idle;
}
if (wanted.includes("pytorch")) {
  const pytorch = await pytorchHooks();
  if (pytorch) results["PyTorch hooks"] = pytorch;
}
console.log(
  JSON.stringify({
    ...{ model: positionals[0] ?? "random", tokens: sequences.flat().length, rounds, passes },
    ...results,
  }),
);

/** What one of so many calls of a function costs that does nothing itself, a run's preparation included. */
function firings({ none = [], ...called }: Record<string, number[]>, count = layers) {
  return Object.fromEntries(
    Object.entries(called).map(([name, seconds]) => [name, microseconds(seconds, none, count)]),
  );
}

/** Median of the paired differences, for each of so many. */
function microseconds(seconds: number[], less: number[], count: number) {
  return median(seconds.map((s, round) => (1e6 * (s - (less[round] as number))) / count));
}

/** What TransformerLens, nnsight and others build on, with nothing of theirs on top. */
async function pytorchHooks() {
  const python = findPython();
  if (python === undefined || model.architecture !== "llama") return undefined;
  using peer = new Peer(python, "torch_forward.py");
  await peer.ask({ do: "setup", threads: loadBinding().info().threads, cpu: false });
  await peer.ask({ do: "open", folder, dtype: "f32" });
  const request = { attention: "sdpa", sequences, times: 1 };
  const ask = async (given: object) =>
    (await peer.ask<{ seconds: number }>({ ...request, ...given })).seconds;
  const contestants = {
    none: () => ask({ do: "forward", way: "padded" }),
    "every z copied": () => ask({ do: "hooked", what: "copy" }),
    "a function that does nothing": () => ask({ do: "hooked", what: "nothing" }),
  };
  for (const once of Object.values(contestants)) await once();
  const seconds = await alternate(rounds, contestants, passes);
  const { none, "every z copied": copied, "a function that does nothing": nothing } = seconds;
  return {
    milliseconds: 1000 * median(none),
    "every z copied": overhead(copied, none),
    "microseconds of a function's firing": firings({ none, "on one head": nothing }),
  };
}
