// Plain text as a control: next-token accuracy and loss. The text is cut into chunks, each with the
// special tokens that the tokenizer puts before a text; every token of the text is predicted once.
import { readFile } from "node:fs/promises";
import type { CallOptions } from "../engine.ts";
import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { Interval } from "../results.ts";
import {
  type BootstrapOptions,
  clusterDraws,
  numberClusters,
  ratioOfMeans,
} from "../statistics/bootstrap.ts";
import { type Predictor, readAnswers } from "./accuracy.ts";
import type { AnswerSet } from "./answers.ts";

export interface TextResult {
  /** Predicted tokens. */
  readonly tokens: number;
  readonly chunks: number;
  /** Share of tokens that are the argmax; the interval is a bootstrap over chunks. */
  readonly accuracy: number;
  readonly ci: Interval;
  /** Mean negative log-probability, in nats a token. */
  readonly loss: number;
  readonly lossCI: Interval;
}

export interface TextOptions extends CallOptions, BootstrapOptions {
  /** Tokens of a chunk; by default the model's context, at most 1024. */
  readonly chunkTokens?: number;
  /** Only the first so many tokens of the text. */
  readonly maxTokens?: number;
  readonly batchTokens?: number;
}

/** Evaluates a text file (UTF-8). Throws BAD_ITEMS where it cannot be read or has no two tokens. */
export async function evaluateTextFile(
  model: Model,
  file: string,
  options: TextOptions = {},
): Promise<TextResult> {
  const text = await readFile(file, "utf8").catch((cause: Error) => {
    throw new KeyheadsError("BAD_ITEMS", `cannot read ${file}: ${cause.message}`, { cause });
  });
  return await evaluateText(model, textChunks(model, text, options), options);
}

/** Evaluates chunks: every token after a chunk's `answerStarts` is predicted. */
export async function evaluateText(
  model: Predictor,
  chunks: AnswerSet,
  options: TextOptions = {},
): Promise<TextResult> {
  const n = chunks.answerStarts.length;
  const right = new Float64Array(n);
  const loss = new Float64Array(n);
  const tokens = new Float64Array(n);
  for await (const read of readAnswers(model, chunks, { ...options, logprob: true })) {
    for (let chunk = read.start; chunk < read.stop; ++chunk) {
      const first = read.rowStarts[chunk - read.start] as number;
      const stop = read.rowStarts[chunk - read.start + 1] as number;
      tokens[chunk] = stop - first;
      right[chunk] = read.right.subarray(first, stop).reduce((sum, value) => sum + value, 0);
      loss[chunk] = -read.logprob.subarray(first, stop).reduce((sum, value) => sum + value, 0);
    }
  }
  const clusters = numberClusters(Array.from(tokens, (_, chunk) => String(chunk)));
  const draws = clusterDraws(n, options);
  const accuracy = ratioOfMeans(right, tokens, clusters, draws);
  const perToken = ratioOfMeans(loss, tokens, clusters, draws);
  return {
    tokens: tokens.reduce((sum, value) => sum + value, 0),
    chunks: n,
    accuracy: accuracy.estimate,
    ci: [accuracy.low, accuracy.high],
    loss: perToken.estimate,
    lossCI: [perToken.low, perToken.high],
  };
}

/** Cuts a text into chunks for the model's tokenizer and context. */
export function textChunks(
  model: Pick<Model, "needTokenizer" | "spec">,
  text: string,
  options: Pick<TextOptions, "chunkTokens" | "maxTokens"> = {},
): AnswerSet {
  const tokenizer = model.needTokenizer();
  const { context } = model.spec;
  const length = options.chunkTokens ?? Math.min(context, 1024);
  if (!(Number.isInteger(length) && length >= 2 && length <= context)) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `chunks of ${length} tokens: expected 2 to ${context}, the model's context`,
    );
  }
  const ids = tokenizer.encode(text).slice(0, options.maxTokens);
  const prefix = specialPrefix(tokenizer.encode(""), ids);
  return chunkTokens(ids.slice(prefix.length), prefix, length);
}

/** The special tokens before a text: those that an empty text gets and this one starts with. */
function specialPrefix(empty: readonly number[], ids: readonly number[]): readonly number[] {
  const differs = empty.findIndex((id, i) => ids[i] !== id);
  return differs < 0 ? empty : empty.slice(0, differs);
}

/**
 * Chunks that read at most `length` tokens. Without a prefix a chunk starts with the last token of
 * the one before, so that here too every token but the very first is predicted once.
 */
export function chunkTokens(
  ids: readonly number[],
  prefix: readonly number[],
  length: number,
): AnswerSet {
  const given = Math.max(prefix.length, 1);
  const step = length + 1 - given;
  const start = given - prefix.length;
  if (ids.length <= start || step < 1) {
    throw new KeyheadsError(
      "BAD_ITEMS",
      `a text of ${ids.length} tokens in chunks of ${length} leaves nothing to predict`,
    );
  }
  const offsets = [0];
  const tokens: number[] = [];
  for (let at = start; at < ids.length; at += step) {
    for (const id of prefix) tokens.push(id);
    for (const id of ids.slice(at - start, at + step)) tokens.push(id);
    offsets.push(tokens.length);
  }
  return {
    tokens: Int32Array.from(tokens),
    offsets: Int32Array.from(offsets),
    answerStarts: new Int32Array(offsets.length - 1).fill(given),
  };
}
