/**
 * Prompts with answers, packed: what evaluation scores and tuning learns from. Hundreds of thousands
 * of items need no object each. The model reads everything but the last answer token, and its
 * prediction is read at the row before every answer token.
 */
import type { Batch } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { pack } from "../packing.ts";

/** Item i is tokens[offsets[i] .. offsets[i + 1]); its answer begins `answerStarts[i]` tokens in. */
export interface AnswerSet {
  readonly tokens: Int32Array;
  /** items + 1 */
  readonly offsets: Int32Array;
  /** Number of prompt tokens of every item, at least 1. */
  readonly answerStarts: Int32Array;
}

/** What of an item is needed to score its answer. */
export interface AnsweredItem {
  readonly id: string;
  readonly line: number;
  readonly cluster?: string;
  readonly promptIds: readonly number[];
  readonly answerIds: readonly number[];
}

/** What to run and where to read. */
export interface AnswerBatch extends Batch {
  /** The same tokens, a view for every item. */
  readonly sequences: readonly Int32Array[];
  /** Packed rows whose prediction is an answer token. */
  readonly rows: Int32Array;
  /** The answer tokens, one a row. */
  readonly targets: Int32Array;
  /** Rows of item i of the batch are rowStarts[i] to rowStarts[i + 1] of `rows`. */
  readonly rowStarts: Int32Array;
}

/** Packs items. Throws BAD_ITEMS for one without a prompt or answer token. */
export function answersOf(items: readonly AnsweredItem[]): AnswerSet {
  if (items.length === 0) throw new KeyheadsError("BAD_ITEMS", "there are no items");
  for (const { id, line, promptIds, answerIds } of items) {
    const missing = promptIds.length === 0 ? "prompt" : answerIds.length === 0 ? "answer" : "";
    if (missing === "") continue;
    throw new KeyheadsError(
      "BAD_ITEMS",
      `item ${id} (line ${line}) has no ${missing} token; it needs at least one`,
    );
  }
  return {
    ...pack(items.map(({ promptIds, answerIds }) => [...promptIds, ...answerIds])),
    answerStarts: Int32Array.from(items, ({ promptIds }) => promptIds.length),
  };
}

/** Items of one length side by side: tokens is [items, length], the first promptLength are given. */
export function fixedAnswers(
  tokens: Int32Array,
  shape: { readonly length: number; readonly promptLength: number },
): AnswerSet {
  const { length, promptLength } = shape;
  if (!(promptLength >= 1 && promptLength < length)) {
    throw new KeyheadsError(
      "BAD_ITEMS",
      `items of ${length} tokens cannot have ${promptLength} prompt tokens; give at least one prompt and one answer token`,
    );
  }
  const items = tokens.length / length;
  if (!(Number.isInteger(items) && items > 0)) {
    throw new KeyheadsError(
      "BAD_ITEMS",
      `${tokens.length} tokens are not a whole number of items of ${length} tokens`,
    );
  }
  return {
    tokens,
    offsets: Int32Array.from({ length: items + 1 }, (_, i) => i * length),
    answerStarts: new Int32Array(items).fill(promptLength),
  };
}

export function countItems(set: AnswerSet): number {
  return set.answerStarts.length;
}

/**
 * Throws BAD_ITEMS for an item that a model of this context cannot read. The last answer token is
 * never read, so an item may be one token longer.
 */
export function checkContext(set: AnswerSet, context: number): void {
  for (let item = 0; item < countItems(set); ++item) {
    const length = (set.offsets[item + 1] as number) - (set.offsets[item] as number);
    if (length - 1 <= context) continue;
    throw new KeyheadsError(
      "BAD_ITEMS",
      `item ${item} (counted from 0) has ${length} tokens of prompt and answer; this model's context is ${context}`,
    );
  }
}

/** One set after the other. */
export function joinAnswers(sets: readonly AnswerSet[]): AnswerSet {
  return takeAnswers(
    sets.flatMap((set) => Array.from({ length: countItems(set) }, (_, index) => ({ set, index }))),
  );
}

/** Some items of a set, in the given order. */
export function pickAnswers(set: AnswerSet, indices: Iterable<number>): AnswerSet {
  return takeAnswers(Array.from(indices, (index) => ({ set, index })));
}

/** The batch for items [start, stop) of `order`, or of the set itself. */
export function answerBatch(set: AnswerSet, items: Iterable<number>): AnswerBatch {
  const indices = Array.from(items);
  const views = indices.map((index) => itemTokens(set, index));
  const offsets = new Int32Array(indices.length + 1);
  const rowStarts = new Int32Array(indices.length + 1);
  indices.forEach((index, i) => {
    const length = (views[i] as Int32Array).length;
    offsets[i + 1] = (offsets[i] as number) + length - 1;
    rowStarts[i + 1] = (rowStarts[i] as number) + length - (set.answerStarts[index] as number);
  });
  const tokens = new Int32Array(offsets[indices.length] as number);
  const rows = new Int32Array(rowStarts[indices.length] as number);
  const targets = new Int32Array(rows.length);
  indices.forEach((index, i) => {
    const item = views[i] as Int32Array;
    const begin = offsets[i] as number;
    const start = set.answerStarts[index] as number;
    tokens.set(item.subarray(0, -1), begin);
    for (let r = rowStarts[i] as number, p = start; p < item.length; ++r, ++p) {
      rows[r] = begin + p - 1;
      targets[r] = item[p] as number;
    }
  });
  const sequences = indices.map((_, i) => tokens.subarray(offsets[i], offsets[i + 1]));
  return { tokens, offsets, sequences, rows, targets, rowStarts };
}

/** Consecutive runs of items with at most `batchTokens` tokens each (one item may have more). */
export function* tokenBatches(
  set: AnswerSet,
  batchTokens: number,
): Generator<{ readonly start: number; readonly stop: number }> {
  const items = countItems(set);
  for (let start = 0; start < items; ) {
    let stop = start + 1;
    const limit = (set.offsets[start] as number) + batchTokens;
    while (stop < items && (set.offsets[stop + 1] as number) <= limit) ++stop;
    yield { start, stop };
    start = stop;
  }
}

/** Prompt and answer tokens of one item, as a view. */
export function itemTokens(set: AnswerSet, index: number): Int32Array {
  const view = set.tokens.subarray(set.offsets[index], set.offsets[index + 1]);
  if (index < 0 || index >= countItems(set)) {
    throw new RangeError(`item ${index} of a set of ${countItems(set)}`);
  }
  return view;
}

function takeAnswers(picked: readonly { set: AnswerSet; index: number }[]): AnswerSet {
  return {
    ...pack(picked.map(({ set, index }) => itemTokens(set, index))),
    answerStarts: Int32Array.from(picked, ({ set, index }) => set.answerStarts[index] as number),
  };
}
