/** Reads the items files of a command and says on stderr what was left out. */
import { readFile } from "node:fs/promises";
import { basename, extname } from "node:path";
import type { ModelSpec } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { evaluateItems } from "../evaluation/evaluate.ts";
import type { Model } from "../model.ts";
import type { Item } from "../tasks/item.ts";
import { type ItemSet, type ReadItemsOptions, readItems } from "../tasks/items.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import type { Cli } from "./cli.ts";

const shownReasons = 5;
/** A text as control: so many of its tokens, each predicted from so many before it. */
const textTokens = 512;
const textContext = 32;

interface Reader {
  readonly tokenizer: Tokenizer | undefined;
  readonly spec: ModelSpec;
}
type ReadOptions = Omit<ReadItemsOptions, "vocab" | "context">;

/** Throws BAD_ITEMS where not one line can be used, or with `strict` where one cannot. */
export async function loadItems(
  file: string,
  { tokenizer, spec }: Reader,
  cli: Cli,
  options: ReadOptions = {},
): Promise<ItemSet> {
  const { vocab, context } = spec;
  const set = await readItems(file, tokenizer, { ...options, vocab, context });
  const { items, dropped } = set;
  if (dropped.length === 0) return set;
  cli.note(
    `${basename(file)}: ${dropped.length} of ${items.length + dropped.length} lines dropped`,
  );
  for (const { line, why } of dropped.slice(0, shownReasons)) cli.note(`  line ${line}: ${why}`);
  if (dropped.length > shownReasons) cli.note(`  ... and ${dropped.length - shownReasons} more`);
  return set;
}

/** A control: an items file, or a .txt whose tokens are predicted one by one. */
export async function loadControl(
  file: string,
  model: Model,
  cli: Cli,
  options: ReadOptions,
): Promise<ItemSet> {
  if (extname(file) !== ".txt") return await loadItems(file, model, cli, options);
  const text = await readFile(file, "utf8").catch((cause: Error) => {
    throw new KeyheadsError("BAD_ITEMS", `cannot read ${file}: ${cause.message}`, { cause });
  });
  const ids = model.needTokenizer().encode(text);
  const context = Math.min(textContext, model.spec.context);
  if (ids.length < 2) {
    throw new KeyheadsError("BAD_ITEMS", `${file} has ${ids.length} tokens; two are needed`);
  }
  const step = Math.max(1, Math.floor((ids.length - 1) / textTokens));
  const items: Item[] = [];
  for (let at = 1; at < ids.length; at += step) {
    const before = ids.slice(Math.max(0, at - context), at);
    const answer = ids[at] as number;
    items.push({
      id: `token ${at}`,
      line: at,
      promptIds: before,
      answerIds: [answer],
      target: 0,
      reference: before,
      answerId: answer,
      roles: {},
    });
  }
  return { name: basename(file), items, dropped: [] };
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
