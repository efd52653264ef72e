/**
 * Teacher-forced predictions of answers: each item runs once, and every answer token is compared
 * with the argmax given the true tokens before it. Where all are right this is what greedy decoding
 * would have written; where one is wrong, greedy decoding is wrong too.
 */

import type { CallOptions } from "../engine.ts";
import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import { type AnswerSet, answerBatch, checkContext, countItems, tokenBatches } from "./answers.ts";

/** The part of a model that evaluation needs. */
export type Predictor = Pick<Model, "forward" | "spec">;

export interface ReadOptions extends CallOptions {
  /** Tokens that run at once. */
  readonly batchTokens?: number;
}

export interface Accuracy {
  readonly n: number;
  readonly accuracy: number;
  /** 1 for every item of which all answer tokens are the argmax. */
  readonly correct: Uint8Array;
}

/** Predictions at all answer rows of a batch; items [start, stop) of the set. */
export interface RowsRead {
  readonly start: number;
  readonly stop: number;
  readonly rowStarts: Int32Array;
  /** 1 where the answer token is the argmax. */
  readonly right: Uint8Array;
  /** Log-probability of the answer token; empty if not asked for. */
  readonly logprob: Float64Array;
}

const defaultBatchTokens = 8192;

/** Whole-answer accuracy. The fast way: no logits leave the engine. */
export async function accuracyOf(
  model: Predictor,
  set: AnswerSet,
  options: ReadOptions = {},
): Promise<Accuracy> {
  const n = countItems(set);
  const correct = new Uint8Array(n);
  let sum = 0;
  for await (const read of readAnswers(model, set, { ...options, logprob: false })) {
    for (let item = read.start; item < read.stop; ++item) {
      const all = allRight(read, item - read.start);
      correct[item] = all;
      sum += all;
    }
  }
  return { n, accuracy: sum / n, correct };
}

/** The accuracy if it is at least `least`; undefined, often long before the end, if it is not. */
export async function accuracyAtLeast(
  model: Predictor,
  set: AnswerSet,
  least: number,
  options: ReadOptions = {},
): Promise<number | undefined> {
  const n = countItems(set);
  let wrong = 0;
  const small = { batchTokens: 1024, ...options, logprob: false };
  for await (const read of readAnswers(model, set, small)) {
    for (let item = read.start; item < read.stop; ++item) {
      wrong += 1 - allRight(read, item - read.start);
    }
    if ((n - wrong) / n < least) return undefined;
  }
  return (n - wrong) / n;
}

/** Runs a set in batches, in order. Throws BAD_ITEMS for an item beyond the model's context. */
export async function* readAnswers(
  model: Predictor,
  set: AnswerSet,
  options: ReadOptions & { readonly logprob: boolean },
): AsyncGenerator<RowsRead> {
  const { batchTokens = defaultBatchTokens, signal, onProgress, logprob } = options;
  checkContext(set, model.spec.context);
  for (const { start, stop } of tokenBatches(set, batchTokens)) {
    const batch = answerBatch(set, between(start, stop));
    const { rows, targets, rowStarts, sequences } = batch;
    const output = await model.forward({
      sequences,
      readout: logprob
        ? { rows, logits: "tokens", tokens: targets, argmax: true, logsumexp: true }
        : { rows, logits: "none", argmax: true },
      ...(signal && { signal }),
    });
    const argmax = present(output.argmax, "argmax");
    const right = Uint8Array.from(targets, (target, row) => (argmax[row] === target ? 1 : 0));
    yield {
      start,
      stop,
      rowStarts,
      right,
      logprob: logprob
        ? logprobs(present(output.logits, "logits"), present(output.logsumexp, "logsumexp"))
        : new Float64Array(0),
    };
    onProgress?.(stop, countItems(set));
  }
}

/** 1 if every row of an item of the batch is right, else 0. */
export function allRight(read: RowsRead, item: number): 0 | 1 {
  const stop = read.rowStarts[item + 1] as number;
  for (let row = read.rowStarts[item] as number; row < stop; ++row) {
    if (read.right[row] === 0) return 0;
  }
  return 1;
}

/** Sum of the log-probabilities of an item's answer tokens. */
export function answerLogprob(read: RowsRead, item: number): number {
  let sum = 0;
  const stop = read.rowStarts[item + 1] as number;
  for (let row = read.rowStarts[item] as number; row < stop; ++row) {
    sum += read.logprob[row] as number;
  }
  return sum;
}

function logprobs(logits: ArrayLike<number>, logsumexp: ArrayLike<number>): Float64Array {
  return Float64Array.from(logits, (logit, row) => logit - (logsumexp[row] as number));
}

function* between(start: number, stop: number): Generator<number> {
  for (let index = start; index < stop; ++index) yield index;
}

function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new KeyheadsError("INTERNAL", `forward gave no ${what}`);
  return value;
}
