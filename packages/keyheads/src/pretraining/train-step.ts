// One update of pretraining: the weighted mean loss over every token of a batch, then AdamW.
import type { UpdateRequest } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import type { Trainer } from "../trainer.ts";
import type { TrainingBatch } from "./mixture.ts";

export interface PretrainStep {
  readonly loss: number;
  readonly answerLoss: number;
  readonly gradientNorm: number;
  /** Tokens read. */
  readonly tokens: number;
}

/** `name` names the update in errors. Throws NON_FINITE with nothing changed. */
export async function pretrainStep(
  trainer: Pick<Trainer, "accumulate" | "update">,
  batch: TrainingBatch,
  options: {
    readonly request: UpdateRequest;
    readonly answerWeight: number;
    readonly name: string;
  },
): Promise<PretrainStep> {
  const { sequences, targets, weights } = predictions(batch);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const { objective, perRow } = await trainer.accumulate({
    sequences,
    objective: {
      kind: "cross-entropy",
      rows: Int32Array.from(targets, (_, row) => row),
      targets: Int32Array.from(targets),
      weights: Float64Array.from(weights, (weight) => weight / total),
    },
  });
  if (!Number.isFinite(objective)) {
    throw new KeyheadsError(
      "NON_FINITE",
      `${options.name}: the loss is ${objective}; lower the learning rate`,
    );
  }
  const { gradientNorm } = await trainer.update(options.request);
  const answers = Array.from(perRow).filter((_, row) => weights[row] === options.answerWeight);
  return {
    loss: objective,
    answerLoss: answers.reduce((sum, loss) => sum + loss, 0) / answers.length,
    gradientNorm,
    tokens: targets.length,
  };
}

/** Every token but the last of a sequence predicts the next one. */
function predictions({ sequences, weights }: TrainingBatch) {
  return {
    sequences: sequences.map((ids) => ids.slice(0, -1)),
    targets: sequences.flatMap((ids) => ids.slice(1)),
    weights: weights.flatMap((row) => row.slice(1)),
  };
}
