// Accuracy of every class of a plan, in the state that the model is in.
import { accuracyOf } from "../evaluation/accuracy.ts";
import type { CallOptions, Model } from "../model.ts";
import type { ClassAccuracy } from "../results.ts";
import { wilson } from "../statistics/wilson.ts";
import type { EvaluationClass } from "./plan.ts";

/** Wilson intervals; for an exhaustive class they say how it would vary over like populations. */
export async function evaluateClasses(
  model: Model,
  classes: readonly Omit<EvaluationClass, "exhaustive">[],
  { signal, onProgress }: CallOptions = {},
): Promise<ClassAccuracy[]> {
  const total = classes.reduce((sum, { set }) => sum + set.answerStarts.length, 0);
  const out: ClassAccuracy[] = [];
  let done = 0;
  for (const { name, title, set, weight, first } of classes) {
    const before = done;
    const { correct } = await accuracyOf(model, set, {
      ...(signal && { signal }),
      onProgress: (items) => onProgress?.(before + items, total),
    });
    done += correct.length;
    if (first) {
      out.push(row(first.name, first.title, correct.subarray(0, first.count), undefined));
    }
    out.push(row(name, title, correct, weight));
  }
  return out;
}

function row(
  name: string,
  title: string,
  correct: Uint8Array,
  weight: number | undefined,
): ClassAccuracy {
  const n = correct.length;
  const successes = correct.reduce((sum, right) => sum + right, 0);
  const ci = wilson(successes, n);
  return { name, title, n, accuracy: successes / n, ci, ...(weight && { weight }) };
}
