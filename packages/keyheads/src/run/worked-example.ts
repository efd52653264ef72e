// One item in full: its tokens and roles, where the key heads look from END, and what the model
// answers as it is, without the key heads, and after tuning.
import type { FloatArray } from "@keyheads/native";
import { componentName, type HeadRef } from "../attribution/component.ts";
import { hooks } from "../hooks.ts";
import type { HookEdit, Model } from "../model.ts";
import type { WorkedExample } from "../results.ts";
import type { Item } from "../tasks/items.ts";
import type { RunQuestion } from "./plan.ts";

const shown = 4;
type Prediction = WorkedExample["predictions"][number];

/** An item that the model gets wrong, if there is one: that is what tuning is for. */
export async function chooseExample(model: Model, items: readonly Item[]): Promise<Item> {
  const some = items.slice(0, 200);
  const { argmax } = await model.forward({
    sequences: some.map((item) => item.reference),
    readout: { logits: "none", argmax: true },
  });
  return some.find((item, i) => argmax?.[i] !== item.answerId) ?? (some[0] as Item);
}

/** Probabilities of the likeliest answers at END. */
export async function predict(
  model: Model,
  item: Item,
  state: string,
  edits: readonly HookEdit[] = [],
): Promise<Prediction> {
  const { logits } = await model.forward({
    sequences: [item.reference],
    edits,
    readout: { logits: "all" },
  });
  const values = [...(logits as FloatArray)];
  const most = Math.max(...values);
  const total = values.reduce((sum, x) => sum + Math.exp(x - most), 0);
  const top = values
    .map((x, id) => ({ token: textOf(model, id), prob: Math.exp(x - most) / total }))
    .sort((a, b) => b.prob - a.prob)
    .slice(0, shown);
  return { state, top };
}

/** Edits that set the heads at END to their mean over the question's test items. */
export async function removeHeads(
  model: Model,
  question: RunQuestion,
  heads: readonly HeadRef[],
): Promise<HookEdit[]> {
  const { items } = question.test;
  const { captures } = await model.forward({
    sequences: items.map((item) => item.reference),
    captures: heads.map(({ layer, head }) => ({ hook: hooks.z(layer), head, positions: "end" })),
  });
  return heads.map(({ layer, head }, i) => {
    const values = captures[i] as FloatArray;
    const width = values.length / items.length;
    const mean = Float64Array.from({ length: width }, (_, c) => {
      let sum = 0;
      for (let row = 0; row < items.length; ++row) sum += values[row * width + c] as number;
      return sum / items.length;
    });
    return { hook: hooks.z(layer), head, positions: "end", op: "set", value: mean };
  });
}

export async function workedExample(
  model: Model,
  item: Item,
  heads: readonly HeadRef[],
  predictions: readonly Prediction[],
): Promise<WorkedExample> {
  const { captures } = await model.forward({
    sequences: [item.reference],
    captures: heads.map(({ layer, head }) => ({
      hook: hooks.pattern(layer),
      head,
      positions: "end",
    })),
  });
  const roleOf = (position: number) =>
    Object.entries(item.roles).find(
      ([, [start, stop]]) => position >= start && position < stop,
    )?.[0];
  const other = item.counterfactualAnswerId;
  return {
    title: item.prompt === undefined ? `Item ${item.id}` : `“${item.prompt.trim()}”`,
    tokens: item.reference.map((id, position) => {
      const role = roleOf(position);
      return { text: textOf(model, id), ...(role !== undefined && { role }) };
    }),
    ...(item.counterfactual && {
      counterfactual: item.counterfactual.map((id) => textOf(model, id)),
    }),
    answer: textOf(model, item.answerId),
    ...(other !== undefined && { counterfactualAnswer: textOf(model, other) }),
    predictions,
    attention: heads.map((head, i) => ({
      head: componentName(head),
      weights: [...(captures[i] as FloatArray)],
    })),
  };
}

function textOf(model: Model, id: number): string {
  return model.tokenizer?.tokenText(id) ?? `#${id}`;
}
