// One update: the gradient of the mean loss over all answer tokens of its items, accumulated in
// batches, then one AdamW step. Every token weighs 1 / (answer tokens of the update), so that k
// batches of b items give the gradient of one batch of k b.
import type { UpdateRequest } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { type AnswerSet, answerBatch } from "../evaluation/answers.ts";
import type { Trainer } from "../trainer.ts";
import type { PrefixCache } from "./prefix-cache.ts";

export interface StepResult {
  /** Mean over the answer tokens, before the update, in nats. */
  readonly loss: number;
  /** Before clipping. */
  readonly gradientNorm: number;
}

export interface StepOptions {
  /** Items that run at once. */
  readonly batch: number;
  readonly request: UpdateRequest;
  readonly name: string;
  /** Of the same set. */
  readonly prefix?: PrefixCache | undefined;
  readonly recompute?: boolean;
}

/**
 * `name` names the update in errors. Throws NON_FINITE, with nothing changed, where the loss is not
 * finite.
 */
export async function trainStep(
  trainer: Pick<Trainer, "accumulate" | "update">,
  set: AnswerSet,
  items: readonly number[],
  options: StepOptions,
): Promise<StepResult> {
  const { batch, request, name, prefix, recompute } = options;
  const weight = 1 / answerTokens(set, items);
  let loss = 0;
  for (let start = 0; start < items.length; start += batch) {
    const part = items.slice(start, start + batch);
    const packed = answerBatch(set, part);
    const { sequences, rows, targets } = packed;
    const weights = new Float64Array(rows.length).fill(weight);
    const { objective } = await trainer.accumulate({
      sequences,
      objective: { kind: "cross-entropy", rows, targets, weights },
      ...(prefix && { start: await prefix.start(part, packed) }),
      ...(recompute && { recompute }),
    });
    if (!Number.isFinite(objective)) throw notFinite("loss", objective, name, part);
    loss += objective;
  }
  const { gradientNorm } = await trainer.update(request).catch((cause: unknown) => {
    if (!(cause instanceof KeyheadsError && cause.code === "NON_FINITE")) throw cause;
    throw notFinite("gradient", Number.NaN, name, items, cause);
  });
  if (!Number.isFinite(gradientNorm)) throw notFinite("gradient", gradientNorm, name, items);
  return { loss, gradientNorm };
}

function answerTokens(set: AnswerSet, items: readonly number[]): number {
  let sum = 0;
  for (const item of items) {
    const length = (set.offsets[item + 1] as number) - (set.offsets[item] as number);
    sum += length - (set.answerStarts[item] as number);
  }
  return sum;
}

function notFinite(
  what: string,
  value: number,
  name: string,
  items: readonly number[],
  cause?: unknown,
): KeyheadsError {
  const shown = items.slice(0, 8).join(", ") + (items.length > 8 ? ", ..." : "");
  return new KeyheadsError(
    "NON_FINITE",
    `${name}: the ${what} is ${value} in the batch of items ${shown} (counted from 0); lower the learning rate, or look for broken items there`,
    { cause },
  );
}
