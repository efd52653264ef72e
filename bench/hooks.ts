// What hooks cost in a forward pass of 16 short prompts: none asked for (against a build without
// any), every z captured, one head edited in every layer, a JavaScript function called in every
// layer; and what plain PyTorch hooks cost that keep a copy of every z. Prints one JSON object;
// overheads are means of paired rounds with their 95 % interval, each sample taken with Benchmark.js.
//
//   npx tsx bench/hooks.ts [MODEL] [--quick] [--rounds 30]
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
  },
});
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
const forward = (options: object) => () =>
  sample(() => model.forward({ sequences, readout, ...options }));
// one head's values at so many positions are at most 64 kB
const rows = Int32Array.from(
  { length: Math.min(sequences.flat().length, Math.floor(65_536 / 4 / model.spec.dHead)) },
  (_, row) => row,
);
const withFunction = (where: { rows: Int32Array }) => () => {
  const calls = sites.map((site) => [{ ...site, head: 0, ...where }, () => undefined] as const);
  return sample(() => model.runWithHooks(sequences, calls, { readout }));
};

const times = await alternate(rounds, {
  none: forward({}),
  "every z captured": forward({ captures: sites }),
  "one head zeroed in every layer": forward({
    edits: sites.map((site) => ({ ...site, head: 0, op: "zero" as const })),
  }),
  "function on one row": withFunction({ rows: rows.subarray(0, 1) }),
  "function on 64 kB": withFunction({ rows }),
});
const { none, "function on one row": onRow, "function on 64 kB": onBlock, ...hooked } = times;
// the function itself does nothing
const firing = (seconds: number[]) =>
  median(seconds.map((s, round) => (1e6 * (s - (none[round] as number))) / layers));
const percents = Object.fromEntries(
  Object.entries(hooked).map(([name, seconds]) => [name, overhead(seconds, none)]),
);
const idle = await compareWithoutTaps(folder, sequences, rounds);
const pytorch = await pytorchHooks();
console.log(
  JSON.stringify({
    model: positionals[0] ?? "random",
    tokens: sequences.flat().length,
    rounds,
    milliseconds: 1000 * median(none),
    ...(idle && { "idle hooks": idle }),
    ...percents,
    "microseconds of a function's firing": {
      "on one row": firing(onRow),
      [`on ${rows.length * model.spec.dHead * 4} bytes`]: firing(onBlock),
    },
    ...(pytorch && { "PyTorch hooks, every z copied": pytorch }),
  }),
);

/** What TransformerLens, nnsight and others build on, with nothing of theirs on top. */
async function pytorchHooks() {
  const python = findPython();
  if (python === undefined || model.architecture !== "llama") return undefined;
  using peer = new Peer(python, "torch_forward.py");
  await peer.ask({ do: "setup", threads: loadBinding().info().threads, cpu: false });
  await peer.ask({ do: "open", folder, dtype: "f32" });
  const request = { attention: "sdpa", sequences, times: 5 };
  const ask = async (given: object) =>
    (await peer.ask<{ seconds: number }>({ ...request, ...given })).seconds;
  await ask({ do: "hooked" });
  const seconds = await alternate(rounds, {
    none: () => ask({ do: "forward", way: "padded" }),
    hooked: () => ask({ do: "hooked" }),
  });
  return { milliseconds: 1000 * median(seconds.none), ...overhead(seconds.hooked, seconds.none) };
}
