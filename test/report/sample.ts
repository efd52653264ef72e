/**
 * Synthetic results for tests and for looking at the report. Nothing in here was measured: every
 * title says so, and the numbers come from a seeded generator.
 */
import type { RunResult, WorkedExample } from "../../packages/report/src/results.ts";
import { random } from "./random.ts";
import { sampleTransfer } from "./sample-circuit.ts";
import { sampleExperiment } from "./sample-experiment.ts";
import { sampleClasses, sampleTuning } from "./sample-tuning.ts";

const example: WorkedExample = {
  title: "348 + 256: does the ones column carry?",
  tokens: [
    { text: "3", role: "same column" },
    { text: "4", role: "propagating column" },
    { text: "8", role: "carry source" },
    { text: "2", role: "same column" },
    { text: "5", role: "propagating column" },
    { text: "6", role: "carry source" },
    { text: "0", role: "forced digit" },
  ],
  counterfactual: ["3", "4", "1", "2", "5", "2", "0"],
  answer: "6",
  counterfactualAnswer: "5",
  predictions: [
    {
      state: "Before",
      top: [
        { token: "6", prob: 0.93 },
        { token: "5", prob: 0.06 },
      ],
    },
    {
      state: "Key heads removed",
      top: [
        { token: "5", prob: 0.81 },
        { token: "6", prob: 0.17 },
        { token: "<b>", prob: 0.004 },
      ],
    },
    {
      state: "After tuning",
      top: [
        { token: "6", prob: 0.998 },
        { token: "5", prob: 0.0017 },
      ],
    },
  ],
  attention: [
    { head: "2.2", weights: [0.02, 0.05, 0.44, 0.03, 0.04, 0.4, 0.02] },
    { head: "2.1", weights: [0.3, 0.12, 0.05, 0.31, 0.14, 0.06, 0.02] },
    { head: "2.3", weights: [0.04, 0.41, 0.07, 0.03, 0.39, 0.04, 0.02] },
  ],
};

/** A whole run on a made-up model of the given shape. */
export function sampleRun(shape: { layers: number; heads: number; seed?: number }): RunResult {
  const seed = shape.seed ?? 1;
  const first = sampleExperiment({ ...shape, seed }, "carry", "The carry through a tens column");
  const second = sampleExperiment(
    { ...shape, seed: seed + 1 },
    "double-carry",
    "The carry through two columns",
  );
  const { subsets: _, ...withoutSubsets } = second;
  return {
    schemaVersion: 1,
    keyheads: "0.1.0",
    created: "2025-01-02T03:04:05.000Z",
    model: {
      name: `synthetic_${shape.layers}x${shape.heads}`,
      architecture: "gpt2",
      layers: shape.layers,
      heads: shape.heads,
      kvHeads: shape.heads,
      dModel: 32 * shape.heads,
      parameters: 12 * shape.layers * (32 * shape.heads) ** 2,
      origin: "Synthetic test data: no model was run",
      licence: "MIT",
    },
    device: "cpu",
    dtype: "f32",
    seed,
    task: {
      title: "Three-digit addition (synthetic test data)",
      summary:
        "Synthetic test data. The model adds two three-digit numbers; the question is which heads and " +
        "MLPs carry a one through a column whose digits sum to nine.",
      promptForm: "aaabbb → cccc, for example 348256 → 0604",
      notes: ["The vocabulary has ten digits and nothing else, so operators cannot be replaced."],
    },
    experiments: [first, withoutSubsets],
    evaluation: {
      before: sampleClasses(0, 0),
      after: sampleClasses(0.082, 0.003),
      description: `Heads ${first.direct.keyHeads.join(", ")} trained for 6 updates, with replay.`,
    },
    transfer: sampleTransfer(random(seed), ["add", "sub", "who received the <gift>"]),
    tuning: sampleTuning({ ...shape, seed }, first.direct.keyHeads),
    example,
    claims: [
      {
        claim: "Few heads write the answer: fewer than 5 % of heads reduce its logit notably.",
        source: "arXiv 2409.01659, section 4",
        verdict: "supported",
        evidence: "Synthetic: one head carries half of the effect, four heads 88 %.",
      },
      {
        claim: "Tuning the key heads beats tuning all parameters.",
        source: "arXiv 2409.01659, section 6",
        verdict: "not supported",
        evidence: "Synthetic: random heads do as well at matched gain.",
      },
      {
        claim: "The same heads serve other operations.",
        source: "arXiv 2409.01659, section 5",
        verdict: "not testable here",
        evidence: "This model knows addition only.",
      },
    ],
    seconds: 143.2,
    timings: { identify: 1.4, knockout: 21.5, subsets: 48, attend: 0.9, lens: 0.7, tune: 66 },
    peakBytes: 412_000_000,
  };
}
