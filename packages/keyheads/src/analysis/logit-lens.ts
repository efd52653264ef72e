// The logit lens (nostalgebraist 2020): the residual stream after every layer, read through the
// final norm and the unembedding as if the model ended there. The engine does the reading, so the
// norm and the unembedding are the model's own: one-token sequences whose last residual stream is
// set to the vectors in question.
import type { FloatArray } from "@keyheads/native";
import { hooks } from "../hooks.ts";
import type { CallOptions, Model } from "../model.ts";

/** Logits that one call gives back. */
const chunkLogits = 2 ** 22;

export interface Lensed {
  /** 1 is the top. */
  readonly rank: number;
  readonly prob: number;
  readonly top: number;
}

/** Reads vectors [rows, dModel]; `answers` has a token id a row. */
export async function readThroughLens(
  model: Model,
  vectors: FloatArray,
  answers: Int32Array,
  call: CallOptions,
): Promise<Lensed[]> {
  const { vocab, dModel, layers } = model.spec;
  const batch = Math.max(1, Math.floor(chunkLogits / vocab));
  const read: Lensed[] = [];
  for (let start = 0; start < answers.length; start += batch) {
    const stop = Math.min(answers.length, start + batch);
    const { logits, argmax, logsumexp } = await model.forward({
      sequences: Array.from({ length: stop - start }, () => [0]),
      edits: [
        {
          hook: hooks.resid_post(layers - 1),
          op: "set",
          value: vectors.subarray(start * dModel, stop * dModel),
        },
      ],
      readout: { logits: "all", argmax: true, logsumexp: true },
      ...call,
    });
    for (let row = 0; row < stop - start; ++row) {
      const mine = (logits as FloatArray).subarray(row * vocab, (row + 1) * vocab);
      const answer = mine[answers[start + row] as number] as number;
      let rank = 1;
      for (const logit of mine) if (logit > answer) rank += 1;
      read.push({
        rank,
        prob: Math.exp(answer - ((logsumexp as FloatArray)[row] as number)),
        top: (argmax as Int32Array)[row] as number,
      });
    }
  }
  return read;
}
