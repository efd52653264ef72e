// How far a tuned model's predictions on neutral text are from its base's: KL(base || tuned), in nats,
// the mean over predicted tokens.
import type { CallOptions } from "../engine.ts";
import { KeyheadsError } from "../errors.ts";
import type { Predictor } from "./accuracy.ts";
import { type AnswerSet, answerBatch, tokenBatches } from "./answers.ts";

/** Log-probabilities at every predicted token of chunks, [tokens, vocab]; kept of the base model. */
export interface Predictions {
  readonly chunks: AnswerSet;
  readonly logprobs: Float32Array;
}

/** Throws BAD_ARGUMENT where they would take more than `maxBytes` (2 GiB by default). */
export async function predict(
  model: Predictor,
  chunks: AnswerSet,
  options: CallOptions & { readonly maxBytes?: number } = {},
): Promise<Predictions> {
  const { vocab } = model.spec;
  const rows = countRows(chunks);
  const { maxBytes = 2 ** 31 } = options;
  if (4 * rows * vocab > maxBytes) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `the predictions of ${rows} tokens over ${vocab} ids take ${4 * rows * vocab} bytes, above ${maxBytes}; use less text`,
    );
  }
  const logprobs = new Float32Array(rows * vocab);
  let at = 0;
  for await (const values of batches(model, chunks, options)) {
    logprobs.set(values, at);
    at += values.length;
  }
  return { chunks, logprobs };
}

/** KL(base || model), nats a token. Exactly 0 for the base itself. */
export async function divergence(
  model: Predictor,
  base: Predictions,
  options: CallOptions = {},
): Promise<number> {
  const { vocab } = model.spec;
  let sum = 0;
  let at = 0;
  for await (const values of batches(model, base.chunks, options)) {
    for (const value of values) {
      const was = base.logprobs[at++] as number;
      sum += Math.exp(was) * (was - value);
    }
  }
  return sum / (base.logprobs.length / vocab);
}

async function* batches(
  model: Predictor,
  chunks: AnswerSet,
  { signal }: CallOptions,
): AsyncGenerator<Float32Array> {
  const { vocab } = model.spec;
  for (const { start, stop } of tokenBatches(chunks, 512)) {
    const items = Array.from({ length: stop - start }, (_, i) => start + i);
    const { rows, sequences } = answerBatch(chunks, items);
    const readout = { rows, logits: "all", logsumexp: true } as const;
    const run = await model.forward({ sequences, readout, ...(signal && { signal }) });
    const { logits, logsumexp } = run;
    if (!logits || !logsumexp) throw new KeyheadsError("INTERNAL", "forward gave no logits");
    yield Float32Array.from(
      logits,
      (logit, i) => logit - (logsumexp[Math.floor(i / vocab)] as number),
    );
  }
}

function countRows({ offsets, answerStarts }: AnswerSet): number {
  return answerStarts.reduce((sum, start, i) => {
    return sum + (offsets[i + 1] as number) - (offsets[i] as number) - start;
  }, 0);
}
