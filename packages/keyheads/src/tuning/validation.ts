// Evaluation during training: loss and accuracy on items that are not trained on, and when to stop.
import type { CallOptions } from "../engine.ts";
import { allRight, readAnswers } from "../evaluation/accuracy.ts";
import { type AnswerSet, countItems } from "../evaluation/answers.ts";
import type { Model } from "../model.ts";

export interface Validation {
  /** Updates done. */
  readonly step: number;
  /** Mean over answer tokens, in nats. */
  readonly loss: number;
  /** Share of items of which every answer token is the argmax. */
  readonly accuracy: number;
}

/** Teacher-forced loss and accuracy of whole answers. */
export async function validate(
  model: Model,
  set: AnswerSet,
  step: number,
  call: CallOptions = {},
): Promise<Validation> {
  let rows = 0;
  let logprob = 0;
  let right = 0;
  for await (const read of readAnswers(model, set, { ...call, logprob: true })) {
    rows += read.logprob.length;
    for (const value of read.logprob) logprob += value;
    for (let item = 0; item < read.stop - read.start; ++item) right += allRight(read, item);
  }
  return { step, loss: -logprob / rows, accuracy: right / countItems(set) };
}

/** The one with the lowest loss, the earliest of equals. A loss that is no number is never best. */
export function bestOf(validations: readonly Validation[]): Validation | undefined {
  return validations.reduce<Validation | undefined>(
    (best, next) => (next.loss < (best?.loss ?? Number.POSITIVE_INFINITY) ? next : best),
    undefined,
  );
}

/** True where the last `patience` validations brought no lower loss. */
export function isExhausted(validations: readonly Validation[], patience: number): boolean {
  const best = bestOf(validations);
  const since = validations.length - 1 - (best ? validations.indexOf(best) : -1);
  return since >= patience;
}
