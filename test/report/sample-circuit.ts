/** Made-up circuits, graphs and transfer matrices, in the shape of a model. */
import type { CompareMethodsResult } from "../../packages/report/src/results-methods.ts";
import type {
  CircuitResult,
  ControlsResult,
  GraphResult,
  TransferResult,
} from "../../packages/report/src/results-validation.ts";
import type { Random } from "./random.ts";
import type { Planted, Shape } from "./sample-experiment.ts";

export function sampleCircuit(rng: Random, shape: Shape, planted: Planted): CircuitResult {
  const components = [...planted.keys()];
  const shares = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];
  const curve = (ranking: "signed" | "absolute", rise: number) => ({
    ranking,
    points: shares.map((share) => ({
      share,
      k: Math.floor(share * shape.layers * shape.heads),
      faithfulness: 1 - Math.exp(-rise * share) + 0.01 * rng.normal(),
    })),
    ...{ cpr: 0.93, cmd: 0.12 },
  });
  const removed = components.slice(0, 2);
  const worst = { removed, circuit: 1.1, model: 2.3, difference: 1.2 };
  return {
    items: { used: 200, dropped: [] },
    ...{ components, of: shape.layers * shape.heads, metric: "logit-difference" },
    ...{ ablation: "mean", positions: "end", meanOver: "200 prompts", mlpsOutside: "kept" },
    ...{ full: 6.2, circuit: 5.4, empty: -0.6 },
    faithfulness: { mean: 0.88, low: 0.84, high: 0.93 },
    completeness: { largest: 1.2, share: 0.18, worst, random: [worst], greedy: [worst] },
    minimality: {
      components: [...planted].map(([component, share]) => ({
        component,
        effect: 6.8 * share,
        share,
        without: removed.filter((one) => one !== component),
        atLeast: share > 0.1 ? 0 : 0.25,
      })),
      random: { heads: ["0.0"], effects: [0.3], high: 0.6 },
    },
    sizes: [curve("signed", 9), curve("absolute", 7)],
    ...{ cpr: 0.93, cmd: 0.12, seconds: 1 },
  };
}

export function sampleGraph(rng: Random, { layers, heads }: Shape, planted: Planted): GraphResult {
  const names = [...planted.keys()];
  const edges = names.flatMap((name, i) => {
    const layer = Number.parseInt(name, 10);
    const effect = -3 * (planted.get(name) as number);
    const inputs = ["q", "k", "v"].map((input) => ({
      from: layer === 0 ? "embed" : `${rng.int(layer)}.${rng.int(heads)}`,
      to: `${name}.${input}`,
      effect: effect * rng.next(),
    }));
    return [
      ...inputs,
      { from: name, to: `mlp ${Math.min(layers - 1, layer + 1)}`, effect: effect * 0.8 },
      { from: name, to: "logits", effect: i % 3 === 2 ? -effect : effect },
    ];
  });
  const last = { from: `mlp ${layers - 1}`, to: "logits", effect: -2.9 };
  return {
    ...{ method: "eap-ig", effect: "logit-difference", edgeCount: 32491 },
    faithfulness: { mean: 0.83, low: 0.78, high: 0.88 },
    edges: [...edges, last].map((edge) => ({
      ...edge,
      ci: [edge.effect - 0.2, edge.effect + 0.2] as const,
    })),
  };
}

export const sampleControls: ControlsResult = {
  items: { used: 64, dropped: [] },
  self: { largest: 0, at: "0.0", keyHeads: [], keyMlps: [], pass: true },
  untrained: {
    ...{ seed: 0, alpha: 0.05, minimumShare: 0.01, accuracy: 0.1, totalEffect: 0.02 },
    ...{ smallestP: 0.31, keyHeads: [], keyMlps: [], pass: true },
  },
  pass: true,
  seconds: 1,
};

export function sampleTransfer(rng: Random, names: readonly string[]): TransferResult {
  const matrix = <T>(cell: (from: number, on: number) => T) =>
    names.map((_, from) => names.map((_, on) => cell(from, on)));
  return {
    sets: names.map((name) => ({
      ...{ name, dropped: [], discovery: 250, evaluation: 150 },
      ...{ keyHeads: ["2.2", "2.1", "0.3"], baseline: 0.95 },
    })),
    ...{ split: "labels", ablation: "mean", positions: "end" },
    jaccard: matrix((from, on) => (from === on ? 1 : 0.5)),
    chance: matrix(() => 0.11),
    rank: matrix((from, on) => (from === on ? 1 : 0.4 + 0.4 * rng.next())),
    accuracy: matrix((from, on) => (from === on ? 0.31 : 0.5 + 0.4 * rng.next())),
    random: matrix((from) =>
      from === names.length - 1
        ? null
        : { k: 3, mean: 0.8, low: 0.42, high: 0.95, draws: 200, exhaustive: false, atMost: 0.02 },
    ),
    seconds: 2,
  };
}

export function sampleMethods(rng: Random, { layers, heads }: Shape): CompareMethodsResult {
  const around = (mean: number) => ({ mean, low: mean - 0.06, high: Math.min(1, mean + 0.05) });
  const judged = (estimand: CompareMethodsResult["estimands"][number]["estimand"]) => {
    const of = estimand === "edges" ? 1519 : layers * (heads + 1);
    const names = {
      "activation, END": ["atp", "atp-star", "relp"],
      "activation, all positions": ["atp", "atp-star", "relp"],
      "path patching": ["direct-gradient"],
      edges: ["eap", "eap-ig, inputs", "eap-ig, activations"],
    }[estimand];
    return {
      ...{ estimand, of, seconds: 4.2, circuit: { cpr: 0.95, cmd: 0.04 } },
      methods: names.map((method) => ({
        ...{ method, seconds: 0.4, speedup: 0.5 + 20 * rng.next() },
        rank: around(0.5 + 0.4 * rng.next()),
        overlap: { ...around(0.6 + 0.3 * rng.next()), k: 10, chance: Math.min(1, 10 / of) },
        sign: around(0.9),
        ...{ spearman: 0.5, error: rng.next(), circuit: { cpr: 0.9, cmd: 0.1 } },
      })),
    };
  };
  return {
    items: { used: 64, dropped: [] },
    effect: "logit-difference",
    estimands: [
      judged("activation, END"),
      judged("activation, all positions"),
      judged("path patching"),
      judged("edges"),
    ],
    skipped: [],
    seconds: 20,
  };
}
