/**
 * The memory and time plan of --dry-run. The time is a rough guess from counts of multiplications and
 * a cautious fixed rate, and says so; the memory of runs is the engine's own plan.
 */
import { availableParallelism } from "node:os";
import type { ModelDtype, ModelSpec } from "@keyheads/native";
import type { Blueprint } from "./blueprint.ts";
import { byteSize, count, duration, table } from "./table.ts";
import { Weightless } from "./weightless.ts";

/** Floating-point operations a second and thread that small and middling products reach. */
const flopsPerThread = 15e9;
/** Tokens that run at once, unless a command says otherwise. */
const batchTokens = 8192;

/** One part of a command's work. */
export interface Step {
  readonly what: string;
  readonly flops: number;
  /** Bytes that must be in memory at once, beside the weights; `width` is those of a number. */
  bytes(model: Weightless, width: number): Promise<number> | number;
}

export interface Plan {
  readonly weightBytes: number;
  /** Weights and the largest step. */
  readonly peakBytes: number;
  readonly steps: readonly { what: string; flops: number; bytes: number; seconds: number }[];
  readonly flops: number;
  readonly seconds: number;
  readonly assumed: string;
}

export async function toPlan(
  blueprint: Blueprint,
  steps: readonly Step[],
  { dtype, threads }: { dtype: ModelDtype; threads: number | undefined },
): Promise<Plan> {
  using model = await Weightless.open(blueprint, dtype);
  const width = dtype === "f64" ? 8 : 4;
  const workers = threads ?? availableParallelism();
  const rate = (flopsPerThread * workers) / (dtype === "f64" ? 2 : 1);
  const planned: Plan["steps"][number][] = [];
  for (const { what, flops, ...step } of steps) {
    planned.push({ what, flops, bytes: await step.bytes(model, width), seconds: flops / rate });
  }
  const { weightBytes } = model;
  const flops = planned.reduce((sum, step) => sum + step.flops, 0);
  return {
    weightBytes,
    peakBytes: weightBytes + Math.max(0, ...planned.map(({ bytes }) => bytes)),
    steps: planned,
    flops,
    seconds: flops / rate,
    assumed: `${rate / 1e9} GFLOP/s on ${workers} threads`,
  };
}

export function planText(plan: Plan, budget: number | undefined): string {
  const rows = plan.steps.map(({ what, flops, bytes, seconds }) => [
    what,
    count(Math.round(flops / 1e6)),
    byteSize(bytes),
    duration(seconds),
  ]);
  const limit =
    budget === undefined
      ? ""
      : `memory budget: ${byteSize(budget)}: ${plan.peakBytes <= budget ? "enough" : "NOT enough"}\n`;
  return [
    table(["step", "MFLOP", "memory", "time"], rows),
    `weights: ${byteSize(plan.weightBytes)}; with the largest step: ${byteSize(plan.peakBytes)}\n`,
    limit,
    `time: about ${duration(plan.seconds)}, assuming ${plan.assumed}\n`,
    "nothing was computed\n",
  ].join("");
}

/** Plain runs over sequences of these lengths, with logits of so many rows. */
export function forwardStep(
  what: string,
  spec: ModelSpec,
  lengths: readonly number[],
  { rows = lengths.length, runs = 1 }: { rows?: number; runs?: number } = {},
): Step {
  const tokens = sum(lengths);
  const attention = sum(lengths.map((length) => 2 * length * (length + 1)));
  const flops =
    tokens * tokenFlops(spec) +
    attention * spec.layers * spec.heads * spec.dHead +
    rows * 2 * spec.dModel * spec.vocab;
  const together = firstTokens(lengths, batchTokens);
  const share = tokens === 0 ? 0 : sum(together) / tokens;
  const read = rows === lengths.length ? together.length : Math.ceil(rows * share);
  return {
    what,
    flops: flops * runs,
    bytes: (model) => (together.length > 0 ? model.forwardBytes(together, read) : 0),
  };
}

/** The END-row chain of every head and MLP (docs/method.md): H more rows a layer and item. */
export function chainStep(what: string, spec: ModelSpec, items: number): Step {
  const mlp = mlpFlops(spec);
  let rows = 0;
  let flops = 0;
  for (let layer = 0; layer < spec.layers; ++layer) {
    rows += spec.heads;
    flops += rows * mlp + spec.heads * 2 * spec.dHead * spec.dModel;
    rows += 1;
  }
  flops += rows * 2 * spec.dModel * spec.vocab;
  const together = Math.min(items, Math.max(1, Math.floor(batchTokens / rows)));
  const numbers = together * rows * (2 * spec.dModel + 2 * spec.dMlp + spec.vocab);
  return { what, flops: flops * items, bytes: (_, width) => numbers * width };
}

/** Gradients at hook points; backward costs as much as a forward run again. */
export function gradientStep(runs: number, spec: ModelSpec, lengths: readonly number[]): Step {
  const one = forwardStep(`${runs} gradients`, spec, lengths, { runs: 2 * runs });
  const together = firstTokens(lengths, batchTokens);
  return {
    ...one,
    bytes: (model) => (together.length > 0 ? model.backwardBytes(together) : 0),
  };
}

export interface Training {
  /** Of one update. */
  readonly tokens: number;
  readonly updates: number;
  readonly trained: number;
  /** Tokens of a sequence; 32. */
  readonly sequence?: number;
}

/** Updates of `trained` parameters; backward costs twice a forward run. */
export function trainingStep(
  what: string,
  spec: ModelSpec,
  { tokens, updates, trained, sequence = 32 }: Training,
): Step {
  const flops = 3 * updates * tokens * (tokenFlops(spec) + 2 * spec.dModel * spec.vocab);
  const length = Math.min(sequence, spec.context, tokens);
  const lengths = new Array<number>(Math.ceil(tokens / Math.max(length, 1))).fill(length);
  return {
    what,
    flops,
    // beside the run: gradients, two moments, and masters of rounded weights
    bytes: async (model, width) => (await model.backwardBytes(lengths)) + 4 * trained * width,
  };
}

function tokenFlops(spec: ModelSpec): number {
  const { dModel, heads, kvHeads, dHead, layers } = spec;
  return layers * (2 * dModel * dHead * (2 * heads + 2 * kvHeads) + mlpFlops(spec));
}

function mlpFlops({ dModel, dMlp, gated, expertsPerToken }: ModelSpec): number {
  return 2 * dModel * dMlp * (gated ? 3 : 2) * Math.max(1, expertsPerToken);
}

/** The first lengths that hold no more than so many tokens in all, and at least one of them. */
function firstTokens(lengths: readonly number[], most: number): number[] {
  let tokens = 0;
  const cut = lengths.findIndex((length, i) => {
    tokens += length;
    return i > 0 && tokens > most;
  });
  return lengths.slice(0, cut < 0 ? lengths.length : cut);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
