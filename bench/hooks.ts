// What hooks cost in a forward pass of 16 short prompts: none asked for (against a build without
// any), every z captured, and one head edited in every layer. Prints one JSON object; overheads are
// means of paired rounds with their 95 % interval, each sample taken with Benchmark.js.
//
//   npx tsx bench/hooks.ts [MODEL] [--quick] [--rounds 30]
//
// MODEL is a folder or the name of a bundled model; the default is random, of width 512, 8 layers.
// The build without taps: npx cmake-js build --directory native --out native/build --target
// keyheads_without_taps
import { parseArgs } from "node:util";
import { hooks, Model, resolveModel, rng } from "keyheads";
import { compareWithoutTaps } from "./idle.ts";
import { median } from "./peer.ts";
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

const times = await alternate(rounds, {
  none: forward({}),
  "every z captured": forward({ captures: sites }),
  "one head zeroed in every layer": forward({
    edits: sites.map((site) => ({ ...site, head: 0, op: "zero" as const })),
  }),
});
const { none, ...hooked } = times;
const percents = Object.fromEntries(
  Object.entries(hooked).map(([name, seconds]) => [name, overhead(seconds, none)]),
);
const idle = await compareWithoutTaps(folder, sequences, rounds);
console.log(
  JSON.stringify({
    model: positionals[0] ?? "random",
    tokens: sequences.flat().length,
    rounds,
    milliseconds: 1000 * median(none),
    ...(idle && { "idle hooks": idle }),
    ...percents,
  }),
);
