// The evaluation card of a pretrained model, as data: accuracy by operation and style on what it was
// trained on and on what was held out, its other tasks, and the loss on held-out text.
import type { TaskCard } from "@keyheads/models";
import { evaluateItems, summarise } from "../evaluation/evaluate.ts";
import { evaluateText, textChunks } from "../evaluation/text.ts";
import type { CallOptions, Model } from "../model.ts";
import { type BuildOptions, buildTaskItems } from "../tasks/build-items.ts";
import { type Item, itemsFromRaw } from "../tasks/items.ts";
import { styles } from "../tasks/templates.ts";
import type { PretrainConfig } from "./config.ts";
import { heldOutCluster } from "./documents/words.ts";
import { cardOf } from "./pretrain.ts";
import { readTexts } from "./texts.ts";

/** A row of the card; the interval is a bootstrap over facts, or clusters of words. */
export interface CardRow {
  readonly task: string;
  readonly style: string;
  /** What of it: trained, held-out facts, withheld wording. */
  readonly items: "trained" | "held-out" | "withheld wording";
  /** Different prompts: fewer than asked for where there are no more. */
  readonly n: number;
  readonly accuracy: number;
  readonly ci: readonly [low: number, high: number];
}

export interface PretrainedEvaluation {
  readonly rows: readonly CardRow[];
  readonly text: {
    readonly tokens: number;
    /** Nats a token, in pieces of `chunk` tokens. */
    readonly loss: number;
    readonly ci: readonly [low: number, high: number];
    readonly chunk: number;
  };
}

const textTokens = 50_000;
const kinds: readonly [CardRow["items"], Pick<BuildOptions, "pairs" | "wordings">][] = [
  ["trained", { pairs: "trained", wordings: "trained" }],
  ["held-out", { pairs: "held-out", wordings: "trained" }],
  ["withheld wording", { pairs: "trained", wordings: "withheld" }],
];

/** Measures a model of the config's card. `count`: prompts a row, of the word tasks 1.2 times that. */
export async function evaluatePretrained(
  model: Model,
  config: PretrainConfig,
  options: CallOptions & { readonly count: number },
): Promise<PretrainedEvaluation> {
  const card = cardOf(config.card);
  const rows: CardRow[] = [];
  const add = async (row: Pick<CardRow, "task" | "style" | "items">, items: readonly Item[]) => {
    if (items.length === 0) return;
    const { accuracy, ci } = summarise(await evaluateItems(model, items, options));
    rows.push({ ...row, n: items.length, accuracy, ci });
  };
  for (const task of card.arithmetic.operations) {
    for (const style of styles) {
      for (const [items, which] of kinds) {
        if (!hasTemplates(card, task, style, which)) continue;
        // Stories have no operator that a null word could replace; what X_c is does not matter here.
        const counterfactual = "operands" as const;
        const build = {
          tasks: [task],
          styles: [style],
          count: options.count,
          counterfactual,
          ...which,
        };
        await add({ task, style, items }, await itemsOf(model, card, build));
      }
    }
  }
  for (const task of card.words) {
    const count = Math.ceil(1.2 * options.count);
    const all = await itemsOf(model, card, { tasks: [task.name], count });
    const left = (item: Item) => heldOutCluster(task, item.cluster ?? "");
    await add(
      { task: task.name, style: "words", items: "trained" },
      all.filter((i) => !left(i)),
    );
    await add({ task: task.name, style: "words", items: "held-out" }, all.filter(left));
  }
  return { rows, text: await textLoss(model, config) };
}

function hasTemplates(
  card: TaskCard,
  task: string,
  style: string,
  { wordings }: Pick<BuildOptions, "wordings">,
): boolean {
  const withheld = card.arithmetic?.training?.withheldWordings ?? [];
  return (card.arithmetic?.templates ?? []).some(
    (template) =>
      template.operation === task &&
      template.style === style &&
      withheld.includes(template.name) === (wordings === "withheld"),
  );
}

async function itemsOf(model: Model, card: TaskCard, options: BuildOptions): Promise<Item[]> {
  const [built] = await buildTaskItems(model, { card, seed: 1, ...options });
  return itemsFromRaw(built?.items ?? [], model.tokenizer, { ...model.spec, single: true }).items;
}

/** On the held-out parts of the config's texts, each to an equal share. */
async function textLoss(model: Model, config: PretrainConfig) {
  const texts = await readTexts(config.texts, config.folder);
  const chunk = config.batch.length - 1;
  const text = texts.map(({ heldOut }) => heldOut).join("\n\n");
  const chunks = textChunks(model, text, { chunkTokens: chunk, maxTokens: textTokens });
  const { tokens, loss, lossCI } = await evaluateText(model, chunks);
  return { tokens, loss, ci: lossCI, chunk };
}
