// Packing of ragged sequences: all tokens one after the other, with offsets. There is no padding,
// so a batch cannot change what an item computes.
import type { Batch } from "@keyheads/native";
import { KeyheadsError } from "./errors.ts";

export type Sequence = readonly number[] | Int32Array;

export interface PackLimits {
  /** Token ids are below this. */
  readonly vocab: number;
  /** Largest length of one sequence. */
  readonly context: number;
  /** What says so. */
  readonly contextFrom?: string;
}

/**
 * Packs sequences as `tokens` [sum of lengths] and `offsets` [sequences + 1].
 *
 * With limits it throws BAD_ARGUMENT for an empty or too long sequence and for an id that is not in
 * the vocabulary, naming the sequence's index.
 */
export function pack(sequences: readonly Sequence[], limits?: PackLimits): Batch {
  if (sequences.length === 0) throw new KeyheadsError("BAD_ARGUMENT", "no sequences were given");
  const offsets = new Int32Array(sequences.length + 1);
  for (const [i, sequence] of sequences.entries()) {
    if (sequence.length === 0) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `sequence ${i} is empty; it needs at least one token`,
      );
    }
    if (limits && sequence.length > limits.context) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `sequence ${i} has ${sequence.length} tokens; the model's context is ${limits.context}${limits.contextFrom === undefined ? "" : ` (${limits.contextFrom})`}`,
      );
    }
    offsets[i + 1] = (offsets[i] as number) + sequence.length;
  }
  const tokens = new Int32Array(offsets[sequences.length] as number);
  for (const [i, sequence] of sequences.entries()) {
    if (limits) checkTokens(sequence, i, limits.vocab);
    tokens.set(sequence, offsets[i]);
  }
  return { tokens, offsets };
}

function checkTokens(sequence: Sequence, index: number, vocab: number): void {
  for (let p = 0; p < sequence.length; ++p) {
    const id = sequence[p] as number;
    if (!(Number.isInteger(id) && id >= 0 && id < vocab)) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `sequence ${index}, position ${p}: token id ${id} does not exist; the embedding has ${vocab} rows, for integers from 0 to ${vocab - 1}${id >= vocab ? ". Does the tokenizer belong to another model?" : ""}`,
      );
    }
  }
}

/** The packed row of every sequence's last token. */
export function endRows(offsets: Int32Array): Int32Array {
  return Int32Array.from({ length: offsets.length - 1 }, (_, i) => (offsets[i + 1] as number) - 1);
}
