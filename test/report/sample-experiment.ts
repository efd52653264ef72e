/**
 * One made-up experiment: heads with planted effects, everything else noise. The numbers are shaped
 * like those of a trained model, but come from a random number generator and from nothing else.
 */
import type {
  AttendResult,
  Experiment,
  IdentifyResult,
  Interval,
  KnockoutResult,
  LensCosines,
  LensResult,
  SubsetResult,
} from "../../packages/report/src/results.ts";
import { type Random, random } from "./random.ts";
import { sampleCircuit, sampleControls, sampleGraph, sampleMethods } from "./sample-circuit.ts";

export interface Shape {
  readonly layers: number;
  readonly heads: number;
  readonly seed: number;
}

/** Planted shares of the total effect, strongest first. */
export type Planted = ReadonlyMap<string, number>;

export function plant({ layers, heads, seed }: Shape): Planted {
  const rng = random(seed);
  const layer = Math.floor(layers / 2);
  const shares =
    layers * heads > 64 ? [0.31, 0.12, 0.09, 0.07, 0.05, 0.04] : [0.5, 0.17, 0.155, 0.06];
  const planted = new Map<string, number>();
  for (const share of shares.slice(0, heads * layers)) {
    let name: string;
    do {
      const near = Math.min(layers - 1, layer + rng.int(Math.max(1, Math.floor(layers / 4))));
      name = `${near}.${rng.int(heads)}`;
      if (planted.size >= heads) name = `${rng.int(layers)}.${rng.int(heads)}`;
    } while (planted.has(name));
    planted.set(name, share);
  }
  return planted;
}

const items = (used: number) => ({ used, dropped: [] });

export function sampleIdentify(
  shape: Shape,
  planted: Planted,
  options: { method?: string; positions?: "end" | "all"; damp?: number; mlp?: number } = {},
): IdentifyResult {
  const rng = random(shape.seed * 7 + (options.positions === "all" ? 1 : 0));
  const { damp = 1, mlp = 0.92 } = options;
  const total = -3.32;
  const noise = shape.layers * shape.heads > 64 ? 0.006 : 0.025;
  const shares = Array.from({ length: shape.layers }, (_, l) =>
    Array.from(
      { length: shape.heads },
      (_, h) => (planted.get(`${l}.${h}`) ?? 0) * damp + rng.normal() * noise,
    ),
  );
  const half = Math.floor(shape.layers / 2);
  const mlpShares = Array.from({ length: shape.layers }, (_, l) =>
    l < half ? rng.normal() * 0.02 : mlp * (1 - 0.4 * rng.next() * (l > half + 2 ? 1 : 0.05)),
  );
  const interval = (share: number): Interval => {
    const spread = 0.01 + Math.abs(share) * 0.06;
    return [(share + spread) * total, (share - spread) * total];
  };
  const keyHeads = [...planted.keys()].filter((name) => (planted.get(name) ?? 0) > 0.04);
  return {
    items: { used: 2000, dropped: [{ line: 17, why: "the answer is not one token" }] },
    method: options.method ?? "exact",
    positions: options.positions ?? "end",
    effect: "logit-difference",
    mlpPath: "recompute",
    reference: 1.9,
    counterfactual: 1.9 + total,
    totalEffect: total,
    heads: shares.map((row) => row.map((share) => share * total)),
    mlps: mlpShares.map((share) => share * total),
    headCI: shares.map((row) => row.map(interval)),
    mlpCI: mlpShares.map(interval),
    headShares: shares,
    mlpShares,
    keyHeads,
    keyMlps: mlpShares.flatMap((share, l) => (share > 0.5 ? [l] : [])).slice(0, 3),
    validity: {
      referenceAccuracy: 0.888,
      counterfactualStillC: 0.043,
      counterfactualProbC: 0.071,
      excluded: 86,
    },
    relativeLogit: {
      heads: shares.map((row) => row.map((share) => -0.2 * share)),
      mlps: mlpShares.map((share) => -0.2 * share),
      guarded: 0,
    },
    seconds: 1.4,
  };
}

function sampleKnockout(rng: Random, keyHeads: readonly string[], heads: number): KnockoutResult {
  const at = (k: number) => 0.888 * Math.exp(-0.6 * k) + 0.09;
  const ks = keyHeads.map((_, i) => i + 1);
  return {
    items: items(27_000),
    ablation: "mean",
    positions: "end",
    meanOver: "all items of the control set at the same position",
    curve: [
      { k: 0, accuracy: 0.888, control: 0.994 },
      ...ks.map((k, i) => ({
        k,
        added: keyHeads[i] ?? "",
        accuracy: at(k),
        control: 0.994 - 0.004 * k - 0.002 * rng.next(),
      })),
    ],
    random: ks.map((k) => ({
      k,
      mean: 0.888 - 0.045 * k,
      low: 0.888 - 0.16 * k ** 0.8,
      high: Math.min(0.91, 0.888 + 0.006 * k),
      draws: heads > 16 ? 200 : 120 * k,
      exhaustive: heads <= 16,
      controlMean: 0.994 - 0.05 * k,
    })),
    seconds: 21.5,
  };
}

function sampleSubsets(rng: Random, shape: Shape, planted: Planted): SubsetResult {
  const everything = Array.from(
    { length: shape.layers * shape.heads },
    (_, i) => `${Math.floor(i / shape.heads)}.${i % shape.heads}`,
  );
  const unique = [...new Set([...planted.keys(), ...everything])].slice(0, 16);
  const sets: SubsetResult["sets"][number][] = [];
  const add = (heads: readonly string[]) => {
    const strength = heads.reduce((sum, head) => sum + (planted.get(head) ?? 0), 0);
    const task = Math.min(0.8, 0.03 + 0.72 * strength + 0.08 * rng.next() * heads.length);
    const control = 0.01 + 0.09 * rng.next() * heads.length;
    sets.push({
      heads,
      accuracy: 0.888 - task,
      control: 0.994 - control,
      specificDrop: task - control,
    });
  };
  for (let a = 0; a < unique.length; a++) {
    add([unique[a] ?? ""]);
    for (let b = a + 1; b < unique.length; b++) {
      add([unique[a] ?? "", unique[b] ?? ""]);
      for (let c = b + 1; c < unique.length; c++) {
        add([unique[a] ?? "", unique[b] ?? "", unique[c] ?? ""]);
      }
    }
  }
  return { ablation: "mean", baseline: { accuracy: 0.888, control: 0.994 }, sets };
}

const roleNames = ["same column", "propagating column", "carry source", "forced digit"];

function sampleAttention(rng: Random, heads: readonly string[]): AttendResult {
  return {
    items: items(2000),
    heads: heads.map((head, i) => {
      const raw = roleNames.map((_, r) => (r === i % 4 ? 3 : 0.2) + rng.next());
      const sum = raw.reduce((a, b) => a + b, 0);
      const means = raw.map((x) => x / sum);
      const record = <T>(value: (share: number, role: number) => T) =>
        Object.fromEntries(roleNames.map((name, r) => [name, value(means[r] ?? 0, r)]));
      return {
        head,
        roles: record((mean) => ({ mean, low: mean * 0.93, high: Math.min(1, mean * 1.07) })),
        positional: record(() => 0.25 + 0.1 * rng.normal()),
        valueWeighted: record((mean) => Math.max(0, mean + 0.05 * rng.normal())),
        type: ["operand", "mixed", "carry source", "other"][i % 4] ?? "other",
      };
    }),
    seconds: 0.9,
  };
}

function sampleLens(rng: Random, layers: number): LensResult {
  const cosines = (C: number): LensCosines => ({
    A: 0.12 + 0.05 * rng.normal(),
    B: null,
    C,
    baseline: 0.02 * rng.normal(),
  });
  return {
    items: items(2000),
    layers: Array.from({ length: layers }, (_, layer) => {
      const depth = (layer + 1) / layers;
      const rise = 1 / (1 + Math.exp(-12 * (depth - 0.65)));
      return {
        layer,
        answerRank: 1 + 4.2 * (1 - rise) + 0.2 * rng.next(),
        answerProb: 0.1 + 0.72 * rise,
        topTokens: [
          { token: "7", share: 0.2 + 0.3 * rise },
          { token: " ", share: 0.1 },
          { token: "<b>", share: 0.04 },
        ],
        mlpIn: cosines(0.05 + 0.35 * rise),
        mlpOut: cosines(0.1 + 0.55 * rise),
        mlpDelta: cosines(0.05 + 0.2 * rise),
        attnLogit: 1.8 * rise * (1 - rise) * 4 + 0.1 * rng.normal(),
        mlpLogit: 2.6 * rise + 0.15 * rng.normal(),
      };
    }),
    mlpPhases: {
      start: Math.floor(layers / 3),
      inflection: Math.floor(layers * 0.6),
      end: layers - 1,
    },
    seconds: 0.7,
  };
}

export function sampleExperiment(shape: Shape, name: string, title: string): Experiment {
  const rng = random(shape.seed * 31 + 5);
  const planted = plant(shape);
  const direct = sampleIdentify(shape, planted);
  const early: Planted = new Map([
    ["0.0", 0.55],
    [`0.${Math.min(2, shape.heads - 1)}`, 0.13],
    ...[...planted].map(([head, share]) => [head, share * 0.98] as const),
  ]);
  const knockedOut = direct.keyHeads.length > 0 ? direct.keyHeads : ["0.0"];
  return {
    name,
    title,
    description:
      "Synthetic test data. Pairs of three-digit numbers whose tens digits sum to nine while the " +
      "hundreds digits do not, so that a carry from the ones column decides the hundreds digit. The " +
      "counterfactual redraws the two ones digits so that the carry flips.",
    control: "the same position, tens digits not summing to nine",
    direct,
    directOnAll: sampleIdentify(shape, planted, { damp: 0.97 }),
    totalEnd: sampleIdentify(shape, planted, { method: "activation", damp: 1.01 }),
    totalAll: sampleIdentify(shape, early, { method: "activation", positions: "all" }),
    randomCounterfactual: sampleIdentify(shape, planted, { damp: 0.12, mlp: 0.6 }),
    knockout: sampleKnockout(rng, knockedOut, shape.layers * shape.heads),
    subsets: sampleSubsets(rng, shape, planted),
    attention: sampleAttention(rng, knockedOut),
    lens: sampleLens(rng, shape.layers),
    circuit: sampleCircuit(rng, shape, planted),
    graph: sampleGraph(rng, shape, planted),
    paths: ["q", "k", "v"].map((input) => ({
      ...sampleIdentify(shape, early, {
        positions: input === "q" ? "end" : "all",
        damp: 0.3,
        mlp: 0,
      }),
      receivers: [`${input}:${knockedOut[0]}`],
    })),
    methods: sampleMethods(rng, shape),
    controls: sampleControls,
  };
}
