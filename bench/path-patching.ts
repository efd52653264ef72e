// Path patching of every head and MLP: the sweep, side by side with one hooked PyTorch forward a
// sender, on the same weights and items, in alternating rounds of one run.
//
//   npx tsx bench/path-patching.ts [MODEL] [--items 512] [--rounds 5]
//
// KEYHEADS_PYTHON names a Python with torch and transformers; without one only the sweep is timed.
import { parseArgs } from "node:util";
import { loadBinding } from "@keyheads/native";
import { type Item, identify, Model, resolveModel, rng } from "keyheads";
import { findPython, median, Peer } from "./peer.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    items: { type: "string", default: "512" },
    length: { type: "string", default: "7" },
    rounds: { type: "string", default: "5" },
  },
});
const folder = await resolveModel(positionals[0] ?? "mathgpt_add3_h4_l4");
using model = await Model.load(folder);
const items = randomItems(Number(values.items), Number(values.length));
const rounds = Number(values.rounds);
const threads = loadBinding().info().threads;

const sweepOnce = async () => {
  const start = performance.now();
  const result = await identify(model, items, {
    effect: "logit-difference",
    draws: 2,
    excludeUnchanged: false,
  });
  return { seconds: (performance.now() - start) / 1000, result };
};
const { result } = await sweepOnce();
const effects = [...result.heads.flat(), ...result.mlps];

const python = findPython();
const times = { sweep: [] as number[], torch: [] as number[] };
let largest = 0;
if (python) {
  using peer = new Peer(python, "torch_path_patching.py");
  const { ready } = await peer.ask<{ ready: string }>({
    folder,
    threads,
    reference: items.map((item) => item.reference),
    counterfactual: items.map((item) => item.counterfactual),
    answers: items.map((item) => item.answerId),
    others: items.map((item) => item.counterfactualAnswerId),
  });
  for (let round = 0; round < rounds; ++round) {
    const torch = async () => {
      const answer = await peer.ask<{ seconds: number; effects: number[] }>({});
      times.torch.push(answer.seconds);
      for (const [i, e] of answer.effects.entries()) {
        largest = Math.max(largest, Math.abs(e - (effects[i] as number)));
      }
    };
    const sweep = async () => void times.sweep.push((await sweepOnce()).seconds);
    // The order turns every round, so that a slow spell of the machine hits both alike.
    for (const one of round % 2 === 0 ? [torch, sweep] : [sweep, torch]) await one();
  }
  console.error(`PyTorch ${ready}, ${threads} threads each`);
} else {
  console.error("no Python with torch and transformers (KEYHEADS_PYTHON): the sweep alone");
  for (let round = 0; round < rounds; ++round) times.sweep.push((await sweepOnce()).seconds);
}

const ratios = times.torch.map((t, i) => t / (times.sweep[i] as number));
console.log(
  JSON.stringify({
    model: model.name,
    items: items.length,
    senders: effects.length,
    rounds,
    sweepSeconds: median(times.sweep),
    ...(python && {
      torchSeconds: median(times.torch),
      ratio: median(ratios),
      ratioRange: [Math.min(...ratios), Math.max(...ratios)],
      largestDifference: largest,
    }),
  }),
);

function randomItems(count: number, length: number): Item[] {
  const random = rng(1);
  const { vocab } = model.spec;
  const sequence = () => Array.from({ length }, () => random.int(vocab));
  return Array.from({ length: count }, (_, i): Item => {
    const reference = sequence();
    const answerId = random.int(vocab);
    return {
      id: String(i),
      line: i + 1,
      promptIds: reference,
      answerIds: [answerId],
      target: 0,
      reference,
      answerId,
      counterfactual: sequence(),
      counterfactualAnswerId: (answerId + 1 + random.int(vocab - 1)) % vocab,
      roles: {},
    };
  });
}
