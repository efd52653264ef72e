/** Made-up tuning results: key heads, layer-matched random draws, lowest-effect heads, MLPs, all. */
import type {
  ClassAccuracy,
  IsolationReport,
  TunedMethod,
  TuningComparison,
} from "../../packages/report/src/results.ts";
import { random } from "./random.ts";
import type { Shape } from "./sample-experiment.ts";

const classes = [
  { name: "W", title: "Tens sum to 9, hundreds do not", n: 27_000, accuracy: 0.888 },
  { name: "WW", title: "Tens and hundreds both sum to 9", n: 3_000, accuracy: 0.755 },
  { name: "H", title: "Hundreds sum to 9, tens do not", n: 27_000, accuracy: 0.995 },
  { name: "O", title: "All other pairs", n: 24_300, weight: 243_000, accuracy: 0.9988 },
];

export function sampleClasses(gain: number, loss: number): ClassAccuracy[] {
  return classes.map(({ accuracy, ...rest }, i) => {
    const value = Math.min(1, accuracy + (i < 2 ? gain : -loss));
    const half = 1.96 * Math.sqrt((value * (1 - value)) / rest.n);
    return { ...rest, accuracy: value, ci: [value - half, Math.min(1, value + half)] };
  });
}

const isolation: IsolationReport = {
  checked: 214,
  changedTensors: ["transformer.h.2.attn.c_attn.weight", "transformer.h.2.attn.c_proj.weight"],
  unselectedChanged: 0,
  unselectedHash: { before: "e".repeat(64), after: "e".repeat(64) },
  tensors: [
    {
      tensor: "transformer.h.2.attn.c_attn.weight",
      unselected: 11,
      before: "a".repeat(64),
      after: "a".repeat(64),
      trained: ["wq 2.1"],
    },
    {
      tensor: "transformer.h.2.mlp.c_fc.weight",
      unselected: 1,
      before: "b".repeat(64),
      after: "c".repeat(64),
      trained: [],
    },
    {
      tensor: "transformer.h.3.attn.c_attn.bias",
      unselected: 0,
      before: null,
      after: null,
      trained: ["bq 3.0", "bq 3.1"],
    },
  ],
};

export function sampleTuning(shape: Shape, keyHeads: readonly string[]): TuningComparison {
  const rng = random(shape.seed * 13 + 3);
  const perHead = 65_536;
  const headList = (n: number) =>
    Array.from({ length: n }, () => `${rng.int(shape.layers)}.${rng.int(shape.heads)}`);
  const method = (
    kind: TunedMethod["kind"],
    title: string,
    replay: boolean,
    updates: number | null,
    collateral: number,
    more: Partial<TunedMethod> = {},
  ): TunedMethod => ({
    name: `${kind}${replay ? "-replay" : ""}-${more.seed ?? 0}`,
    title,
    kind,
    heads: kind === "key" ? keyHeads : [],
    mlps: [],
    replay,
    seed: 0,
    lr: kind === "full" ? 1e-4 : 1e-3,
    trainedParameters: perHead * keyHeads.length,
    updates,
    gain: updates === null ? 3.1 : 8 + 0.6 * rng.next(),
    collateral,
    after: sampleClasses(updates === null ? 0.031 : 0.082, collateral / 100),
    ...more,
  });
  const methods = [false, true].flatMap((replay) => {
    const ease = replay ? 0.35 : 1;
    return [
      method("key", "Key heads", replay, 6, 0.8 * ease),
      ...Array.from({ length: 20 }, (_, seed) =>
        method(
          "random",
          `Random heads, draw ${seed + 1}`,
          replay,
          seed === 11 ? null : 4 + rng.int(17),
          (0.4 + 3.6 * rng.next() ** 2) * ease,
          { seed, heads: headList(keyHeads.length) },
        ),
      ),
      method("lowest", "Lowest-effect heads", replay, 17, 2.9 * ease, {
        heads: headList(keyHeads.length),
      }),
      method("mlp", "MLPs 2 and 3", replay, 8, 1.9 * ease, {
        mlps: [2, 3],
        trainedParameters: 263_424,
      }),
      method("full", "All parameters", replay, 10, 1.3 * ease, { trainedParameters: 796_672 }),
    ];
  });
  return {
    target: "Tens sum to 9, hundreds do not",
    matchedGain: 8,
    before: sampleClasses(0, 0),
    methods,
    verdict: {
      supported: false,
      text:
        "Synthetic: three random heads reach the same gain with comparable updates and collateral; " +
        "the key heads do not beat the 95th percentile of the draws.",
      updatesPercentile: 0.15,
      collateralPercentile: 0.25,
    },
    isolation,
  };
}
