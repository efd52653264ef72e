/**
 * Tasks without arithmetic whose answer is a word that the prompt decides: who received it, which
 * colour, she or he. X_c is the same words under another case, so only what matters differs.
 */
import type { Filler, WordCase, WordTask } from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";
import { type Rng, rng } from "../statistics/rng.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import type { TaskItems } from "./arithmetic.ts";
import { type Layout, place } from "./fit.ts";
import { toItem } from "./item.ts";
import { bad, checkLine } from "./line.ts";
import type { RawItem } from "./line-fields.ts";
import type { Span } from "./role-spans.ts";
import { defaultShares, type Split, type SplitShares, splitOf } from "./splits.ts";

export interface WordItemsOptions {
  readonly tokenizer: Tokenizer;
  readonly count: number;
  readonly seed?: number;
  readonly split?: Split;
  readonly shares?: SplitShares;
  readonly vocab?: number;
  readonly context?: number;
}

type Words = Readonly<Record<string, string>>;

/** Draws prompts without repeats; pairs of unequal length in tokens are dropped. */
export function wordItems(task: WordTask, options: WordItemsOptions): TaskItems {
  const { seed = 0, shares = defaultShares, count } = options;
  const random = rng(seed);
  const items: RawItem[] = [];
  const dropped: TaskItems["dropped"] = [];
  const available = combinations(task);
  // Whether a prompt can be used depends on the words drawn for its counterfactual: try some.
  const tries = new Map<string, number>();
  const done = new Set<string>();
  const limit = Math.min(50 * count + 100 * available, 100_000);
  for (let attempt = 0; attempt < limit && items.length < count; ++attempt) {
    if (done.size === available) break;
    const drawn = drawWords(task, random);
    const mine = task.cases[random.int(task.cases.length)] as WordCase;
    const { words, answer } = applyCase(mine, drawn);
    const { prompt, roles } = fill(task, words);
    if (done.has(prompt)) continue;
    const cluster = clusterOf(task, words);
    const split = splitOf(cluster, seed, shares);
    if (options.split !== undefined && split !== options.split) {
      done.add(prompt);
      continue;
    }
    const others = task.cases
      .map((other) => applyCase(other, drawn))
      .filter((other) => other.answer !== answer);
    const other = others[random.int(others.length)] as (typeof others)[number];
    const labels = {
      id: `${task.name}-${items.length + 1}`,
      group: task.name,
      template: task.name,
    };
    const raw = { ...labels, cluster, split, roles };
    const counterfactual = { prompt: fill(task, other.words).prompt, answer: other.answer };
    try {
      items.push(placed(raw, { prompt, answer }, counterfactual, options));
      done.add(prompt);
    } catch (error) {
      if (!(error instanceof KeyheadsError)) throw error;
      tries.set(prompt, (tries.get(prompt) ?? 0) + 1);
      if ((tries.get(prompt) as number) < triesPerPrompt) continue;
      done.add(prompt);
      dropped.push({ candidate: prompt, why: error.message });
    }
  }
  return { items, dropped, available };
}

/** The words that name the cluster, in any order. */
export function clusterOf(task: WordTask, words: Words): string {
  return task.cluster
    .map((slot) => words[slot] as string)
    .sort()
    .join(",");
}

const triesPerPrompt = 10;
const layouts: readonly Layout[] = ["glued", "separate"];

/** The first layout of the separating space that gives one-token answers. */
function placed(
  labels: RawItem,
  own: { prompt: string; answer: string },
  counterfactual: { prompt: string; answer: string },
  { tokenizer, vocab, context }: WordItemsOptions,
): RawItem {
  let reason: unknown;
  for (const layout of layouts) {
    const mine = place(layout, own.prompt, own.answer);
    const other = place(layout, counterfactual.prompt, counterfactual.answer);
    const raw: RawItem = {
      ...labels,
      ...mine,
      counterfactual: other.prompt,
      counterfactual_answer: other.answer,
    };
    try {
      const item = toItem(checkLine(raw), 1, tokenizer, {
        single: true,
        vocab: vocab ?? Number.POSITIVE_INFINITY,
        context: context ?? Number.POSITIVE_INFINITY,
      });
      if (item.counterfactual?.length !== item.reference.length) {
        throw bad("the counterfactual has another number of tokens");
      }
      return raw;
    } catch (error) {
      reason ??= error;
    }
  }
  throw reason;
}

/** A word for every drawn slot, without repetition. */
export function drawWords(task: WordTask, random: Rng): Words {
  const drawn: Record<string, string> = {};
  for (const [slot, list] of Object.entries(task.draw)) {
    const used = Object.values(drawn);
    const left = listOf(task, list).filter((word) => !used.includes(word));
    if (left.length === 0)
      throw new KeyheadsError("BAD_ARGUMENT", `${task.name}: ${list} is too short`);
    drawn[slot] = left[random.int(left.length)] as string;
  }
  return drawn;
}

/** The words of all slots under a case, and its answer. */
export function applyCase(mine: WordCase, drawn: Words): { words: Words; answer: string } {
  const word = (filler: Filler) =>
    "word" in filler ? filler.word : (drawn[filler.slot] as string);
  const filled = Object.entries(mine.fill).map(([slot, filler]) => [slot, word(filler)]);
  return { words: { ...drawn, ...Object.fromEntries(filled) }, answer: word(mine.answer) };
}

function fill(task: WordTask, words: Words): { prompt: string; roles: Record<string, Span> } {
  let prompt = "";
  const roles: Record<string, Span> = {};
  for (const [i, part] of task.template.split(/\{(\w+)\}/).entries()) {
    if (i % 2 === 0) {
      prompt += part;
      continue;
    }
    const word = words[part];
    if (word === undefined) {
      throw new KeyheadsError("BAD_ARGUMENT", `${task.name}: nothing fills the slot {${part}}`);
    }
    roles[part] = [[...prompt].length, [...prompt, ...word].length];
    prompt += word;
  }
  return { prompt, roles };
}

/** Different prompts: draws that do not show in the prompt do not count. */
function combinations(task: WordTask): number {
  const shown = new Set(task.template.match(/(?<=\{)\w+(?=\})/g));
  let total = 0;
  for (const { fill } of task.cases) {
    const slots = Object.entries(fill).flatMap(([slot, filler]) =>
      shown.has(slot) && "slot" in filler ? [filler.slot] : [],
    );
    const visible = new Set([...slots, ...shown].filter((slot) => slot in task.draw));
    const used = new Map<string, number>();
    let ways = 1;
    for (const slot of visible) {
      const list = task.draw[slot] as string;
      const before = used.get(list) ?? 0;
      ways *= listOf(task, list).length - before;
      used.set(list, before + 1);
    }
    total += ways;
  }
  return total;
}

function listOf(task: WordTask, list: string): readonly string[] {
  return task.lists[list] ?? [];
}
