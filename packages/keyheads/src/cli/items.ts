/** Reads the items files of a command and says on stderr what was left out. */
import { basename, extname } from "node:path";
import type { ModelSpec } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { evaluateItems } from "../evaluation/evaluate.ts";
import type { Model } from "../model.ts";
import { type ItemSet, type ReadItemsOptions, readItems } from "../tasks/items.ts";
import { readTextItems } from "../tasks/text-control.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import { ofSplit } from "../validation/split.ts";
import type { Cli } from "./cli.ts";

const shownReasons = 5;
/** A text as control: so many of its tokens are predicted. */
const textTokens = 512;

interface Reader {
  readonly tokenizer: Tokenizer | undefined;
  readonly spec: ModelSpec;
}
interface ReadOptions extends Omit<ReadItemsOptions, "vocab" | "context"> {
  /** Only items of this split, whose clusters no other split may have. */
  readonly split?: string | undefined;
}

/** Throws BAD_ITEMS where not one line can be used, or with `strict` where one cannot. */
export async function loadItems(
  file: string,
  { tokenizer, spec }: Reader,
  cli: Cli,
  { split, ...options }: ReadOptions = {},
): Promise<ItemSet> {
  const { vocab, context } = spec;
  const all = await readItems(file, tokenizer, { ...options, vocab, context });
  const set = split === undefined ? all : ofSplit(all, split);
  const { items, dropped } = set;
  if (dropped.length === 0) return set;
  cli.note(
    `${basename(file)}: ${dropped.length} of ${items.length + dropped.length} lines dropped`,
  );
  for (const { line, why } of dropped.slice(0, shownReasons)) cli.note(`  line ${line}: ${why}`);
  if (dropped.length > shownReasons) cli.note(`  ... and ${dropped.length - shownReasons} more`);
  return set;
}

/** A control: an items file, or a .txt of which tokens here and there are predicted. */
export async function loadControl(
  file: string,
  model: Model,
  cli: Cli,
  { seed, ...options }: ReadOptions & { readonly seed: number },
): Promise<ItemSet> {
  if (extname(file) !== ".txt") return await loadItems(file, model, cli, options);
  const { context } = model.spec;
  return await readTextItems(file, model.needTokenizer(), { count: textTokens, context, seed });
}

/** Items of which one token is measured, with `onlyCorrect` those that the model answers correctly. */
export async function loadMeasured(
  file: string,
  model: Model,
  cli: Cli,
  { onlyCorrect, ...options }: ReadOptions & { readonly onlyCorrect: boolean },
): Promise<ItemSet> {
  const set = await loadItems(file, model, cli, { ...options, single: true });
  return onlyCorrect ? await keepCorrect(model, set, cli, { single: true }) : set;
}

/** Only what the model answers correctly; the others count as dropped. */
export async function keepCorrect(
  model: Model,
  set: ItemSet,
  cli: Cli,
  { single = false }: { readonly single?: boolean } = {},
): Promise<ItemSet> {
  const asked = single
    ? set.items.map((item) => ({ ...item, promptIds: item.reference, answerIds: [item.answerId] }))
    : set.items;
  const { correct } = await evaluateItems(model, asked, { signal: cli.signal });
  const items = set.items.filter((_, i) => correct[i] === 1);
  const wrong = set.items.filter((_, i) => correct[i] !== 1);
  if (items.length === 0) {
    throw new KeyheadsError(
      "BAD_ITEMS",
      `${set.name}: the model answers none of ${wrong.length} items correctly; leave --only-correct out`,
    );
  }
  const why = "the model answers it wrongly (--only-correct)";
  return { ...set, items, dropped: [...set.dropped, ...wrong.map(({ line }) => ({ line, why }))] };
}
