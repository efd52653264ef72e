// What is measured while a model trains: accuracy on facts and clusters that training leaves out,
// and the loss on held-out text. Small, so that it costs little; the card measures thoroughly.
import type { TaskCard } from "@keyheads/models";
import { evaluateItems } from "../evaluation/evaluate.ts";
import { evaluateText, textChunks } from "../evaluation/text.ts";
import type { Model } from "../model.ts";
import { buildTaskItems } from "../tasks/build-items.ts";
import { type Item, itemsFromRaw } from "../tasks/items.ts";
import type { SplitText } from "./texts.ts";

/** Shares right by task, and nats a token of held-out text. */
export interface Probe {
  readonly accuracy: Readonly<Record<string, number>>;
  readonly textLoss: number;
}

const itemsPerTask = 100;
const textTokens = 4000;

export async function makeProbe(
  model: Model,
  card: TaskCard,
  texts: readonly SplitText[],
): Promise<() => Promise<Probe>> {
  const sets: [string, readonly Item[]][] = [];
  const add = async (name: string, task: string, pairs: "trained" | "held-out" | "all") => {
    const [built] = await buildTaskItems(model, {
      tasks: [task],
      card,
      count: itemsPerTask,
      pairs,
      wordings: "trained",
    });
    const raw = built?.items ?? [];
    sets.push([name, itemsFromRaw(raw, model.tokenizer, { ...model.spec, single: true }).items]);
  };
  for (const operation of card.arithmetic?.operations ?? []) {
    await add(`${operation} trained`, operation, "trained");
    await add(`${operation} held out`, operation, "held-out");
  }
  for (const { name } of card.words ?? []) await add(name, name, "all");
  const text = texts.map(({ heldOut }) => heldOut.slice(0, 5000)).join("\n");
  const chunks = textChunks(model, text, { chunkTokens: 64, maxTokens: textTokens });
  return async () => {
    const accuracy: Record<string, number> = {};
    for (const [name, items] of sets) {
      const { correct } = await evaluateItems(model, items);
      accuracy[name] = correct.reduce((sum, value) => sum + value, 0) / correct.length;
    }
    const { loss } = await evaluateText(model, chunks, { draws: 1 });
    return { accuracy, textLoss: loss };
  };
}
