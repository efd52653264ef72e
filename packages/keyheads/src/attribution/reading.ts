// What runs are read for: at END of every item the logits of C and C', and the log-sum-exp.
import type { ReadoutResult, SweepRequest } from "@keyheads/native";
import type { CallOptions, Model } from "../model.ts";
import type { Sequence } from "../packing.ts";
import type { Numbers } from "./effects.ts";
import type { Pair } from "./pairs.ts";

/** One entry an item. */
export interface Reading {
  readonly answer: Float64Array;
  readonly other: Float64Array;
  /** NaN where it was not asked for. */
  readonly logsumexp: Float64Array;
}
export interface BaseReading extends Reading {
  readonly argmax: Int32Array;
}

export function emptyReading(items: number): Reading {
  return {
    answer: new Float64Array(items).fill(Number.NaN),
    other: new Float64Array(items).fill(Number.NaN),
    logsumexp: new Float64Array(items).fill(Number.NaN),
  };
}

export function numbers(reading: Reading, item: number): Numbers {
  return {
    answer: reading.answer[item] as number,
    other: reading.other[item] as number,
    logsumexp: reading.logsumexp[item] as number,
  };
}

/** Asks for C and C' (C twice where there is no C') of every pair. */
export function pairReadout(
  pairs: readonly Pair[],
  logsumexp: boolean,
): SweepRequest["readout"] & { tokens: Int32Array } {
  const tokens = Int32Array.from(
    pairs.flatMap(({ answer, counterfactualAnswer = answer }) => [answer, counterfactualAnswer]),
  );
  return { logits: "tokens", tokens, logsumexp };
}

/** What pairReadout asked for, of one variant of many. */
export function readingOf(
  { logits, logsumexp }: ReadoutResult,
  v: number,
  items: number,
): ReadoutResult {
  return {
    ...(logits && { logits: logits.subarray(2 * v * items, 2 * (v + 1) * items) }),
    ...(logsumexp && { logsumexp: logsumexp.subarray(v * items, (v + 1) * items) }),
  };
}

/** Copies result rows [from, from + count) into items [at, at + count) of a reading. */
export function storeReading(
  into: Reading,
  at: number,
  result: ReadoutResult,
  from: number,
  count: number,
): void {
  for (let i = 0; i < count; ++i) {
    into.answer[at + i] = result.logits?.[2 * (from + i)] as number;
    into.other[at + i] = result.logits?.[2 * (from + i) + 1] as number;
    into.logsumexp[at + i] = result.logsumexp?.[from + i] ?? Number.NaN;
  }
}

/** Plain runs of X_r or X_c, in chunks. */
export async function readRuns(
  model: Model,
  pairs: readonly Pair[],
  sequence: (pair: Pair) => Sequence,
  batch: number,
  call: CallOptions,
): Promise<BaseReading> {
  const reading = emptyReading(pairs.length);
  const argmax = new Int32Array(pairs.length);
  for (let start = 0; start < pairs.length; start += batch) {
    const chunk = pairs.slice(start, start + batch);
    const result = await model.forward({
      sequences: chunk.map(sequence),
      readout: { ...pairReadout(chunk, true), argmax: true },
      ...call,
    });
    storeReading(reading, start, result, 0, chunk.length);
    argmax.set(result.argmax as Int32Array, start);
  }
  return { ...reading, argmax };
}

/** The chosen items of a reading. */
export function pickReading(reading: BaseReading, items: readonly number[]): BaseReading {
  const pick = (values: Float64Array) => Float64Array.from(items, (item) => values[item] as number);
  return {
    answer: pick(reading.answer),
    other: pick(reading.other),
    logsumexp: pick(reading.logsumexp),
    argmax: Int32Array.from(items, (item) => reading.argmax[item] as number),
  };
}
