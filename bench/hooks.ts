// What hooks cost in a forward pass of 16 short prompts: none asked for, every z captured, and one
// head edited in every layer. Prints one JSON object; ratios are to the forward pass without hooks.
//
//   npx tsx bench/hooks.ts [MODEL]
import Benchmark from "benchmark";
import { hooks, Model, resolveModel, rng } from "keyheads";

using model = await Model.load(await resolveModel(process.argv[2] ?? "arith-demo"));
const random = rng(1);
const { layers, vocab, context } = model.spec;
const sequences = Array.from({ length: 16 }, () =>
  Array.from({ length: Math.min(8 + random.int(25), context) }, () => random.int(vocab)),
);
const readout = { logits: "none" as const, argmax: true };
const all = Array.from({ length: layers }, (_, layer) => layer);
const cases = {
  idle: () => model.forward({ sequences, readout }),
  "capture z of every layer": () =>
    model.forward({ sequences, readout, captures: all.map((l) => ({ hook: hooks.z(l) })) }),
  "zero one head of every layer": () =>
    model.forward({
      sequences,
      readout,
      edits: all.map((l) => ({ hook: hooks.z(l), head: 0, op: "zero" as const })),
    }),
};

const suite = new Benchmark.Suite();
for (const [name, run] of Object.entries(cases)) {
  suite.add(name, {
    defer: true,
    minSamples: 40,
    fn: (deferred: { resolve(): void }) => void run().then(() => deferred.resolve()),
  });
}
suite.on("cycle", (event: Benchmark.Event) => console.error(String(event.target)));
await new Promise((resolve) => suite.on("complete", resolve).run({ async: true }));
const means = Object.fromEntries(
  suite.map((b: Benchmark) => [b.name, { ms: b.stats.mean * 1000, errorPercent: b.stats.rme }]),
);
const idle = means.idle?.ms as number;
for (const entry of Object.values(means)) Object.assign(entry, { ratio: entry.ms / idle });
console.log(JSON.stringify({ model: model.name, tokens: sequences.flat().length, ...means }));
