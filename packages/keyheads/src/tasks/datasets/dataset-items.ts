/**
 * Public data sets as items for one model: read from their own files, checked against its tokenizer
 * (token boundary rule, one measured token, context), with counterfactuals that change one number or
 * name. What cannot be used is counted with its reason.
 */
import { readFile } from "node:fs/promises";
import { KeyheadsError } from "../../errors.ts";
import type { Tokenizer } from "../../tokenizer/types.ts";
import type { TaskItems } from "../arithmetic.ts";
import type { TaskModel } from "../build-items.ts";
import { type Layout, place } from "../fit.ts";
import { toItem } from "../item.ts";
import { checkLine } from "../line.ts";
import type { RawItem } from "../line-fields.ts";
import { type Span, tokenSpans } from "../role-spans.ts";
import { type Split, splitOf } from "../splits.ts";
import { type IoiCounterfactual, readGreaterThan, readIoi } from "./circuits.ts";
import { readGsm8k } from "./gsm8k.ts";
import type { Problem, TextSpan } from "./problem.ts";
import { readWordProblems } from "./word-problems.ts";

export const datasetNames = [
  "svamp",
  "addsub",
  "singleeq",
  "multiarith",
  "gsm8k",
  "ioi",
  "greater-than",
] as const;
export type DatasetName = (typeof datasetNames)[number];

export const defaultFormat = "Q: {question}\nA: The answer is";
const gsmFormat = "Q: {question}\nA:";

export interface DatasetOptions {
  readonly dataset: DatasetName;
  /** Items wanted; all by default (200 of templates). */
  readonly count?: number;
  readonly seed?: number;
  /** Only clusters of this split. */
  readonly split?: Split;
  /** How a question is asked; {question} is replaced, the answer follows. */
  readonly format?: string;
  /** single (default): only answers of one token. first: the first token of longer ones counts. */
  readonly answers?: "single" | "first";
  /** GSM8K: whether the marks of its calculations are left out (default) or stay. */
  readonly marks?: "text" | "calculator";
  /** Of ioi. */
  readonly counterfactual?: IoiCounterfactual;
}

/** Throws BAD_ITEMS where the file is not of this data set, NO_TOKENIZER without a tokenizer. */
export async function datasetItems(
  model: TaskModel,
  file: string,
  options: DatasetOptions,
): Promise<TaskItems> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new KeyheadsError("BAD_ITEMS", `cannot read ${file}: ${(cause as Error).message}`, {
      cause,
    });
  }
  return datasetItemsFrom(model, text, options);
}

/** The same from the text of such a file. */
export function datasetItemsFrom(
  model: TaskModel,
  text: string,
  options: DatasetOptions,
): TaskItems {
  const { tokenizer } = model;
  if (!tokenizer) {
    throw new KeyheadsError(
      "NO_TOKENIZER",
      `${model.name} has no tokenizer, which data sets in text need; write items in token ids`,
    );
  }
  return problemItems(readersOf(text, options), { ...model, tokenizer }, options);
}

export interface ProblemOptions {
  readonly count?: number;
  readonly seed?: number;
  readonly split?: Split;
  readonly answers?: "single" | "first";
}

/** Problems as items, in order, until there are as many as wanted. */
export function problemItems(
  readers: Iterable<() => Problem[]>,
  model: Ready,
  options: ProblemOptions,
): TaskItems {
  const { count = Number.POSITIVE_INFINITY, split, seed = 0 } = options;
  const items: RawItem[] = [];
  const dropped: TaskItems["dropped"] = [];
  let available = 0;
  let entry = 0;
  for (const read of readers) {
    entry += 1;
    if (items.length >= count) break;
    try {
      for (const problem of read()) {
        if (items.length >= count) break;
        if (split !== undefined && splitOf(problem.cluster, seed) !== split) continue;
        available += 1;
        const line = tryProblem(problem, model, options);
        if (typeof line === "string") dropped.push({ candidate: problem.prompt, why: line });
        else items.push(line);
      }
    } catch (error) {
      if (!(error instanceof KeyheadsError)) throw error;
      dropped.push({ candidate: `entry ${entry}`, why: error.message });
    }
  }
  return { items, dropped, available };
}

function readersOf(text: string, options: DatasetOptions): (() => Problem[])[] {
  const { dataset, seed = 0, format, marks = "text" } = options;
  // Templates give as many prompts as are asked for, and more where some cannot be used.
  const count = options.count === undefined ? 200 : 10 * options.count;
  const single = (readers: (() => Problem)[]) => readers.map((read) => () => [read()]);
  if (format !== undefined && !format.includes("{question}")) {
    throw new KeyheadsError("BAD_ARGUMENT", `the format "${format}" has no {question}`);
  }
  switch (dataset) {
    case "gsm8k":
      return readGsm8k(text, { name: dataset, format: format ?? gsmFormat, seed, marks });
    case "ioi":
      return single(readIoi(text, { kind: options.counterfactual ?? "swap", count, seed }));
    case "greater-than":
      return single(readGreaterThan(text));
    default:
      return single(
        readWordProblems(text, { name: dataset, format: format ?? defaultFormat, seed }),
      );
  }
}

type Ready = TaskModel & { readonly tokenizer: Tokenizer };

/** The line of an items file, or why there is none. */
function tryProblem(problem: Problem, model: Ready, options: ProblemOptions): RawItem | string {
  const layouts: readonly Layout[] = problem.separator === "" ? ["bare"] : ["glued", "separate"];
  const tried = layouts.map((layout) => tryLayout(problem, layout, model, options));
  const usable = tried.filter((one) => typeof one !== "string");
  // A space that is a token of its own would be measured in place of the answer.
  const [best] = usable.sort((a, b) => a.answerIds.length - b.answerIds.length);
  if (!best) return tried[0] as string;
  return { ...best.raw, ...counterfactualOf(problem, best, model) };
}

interface Placed {
  readonly raw: RawItem;
  readonly layout: Layout;
  readonly answerIds: readonly number[];
  /** Tokens of X_r. */
  readonly length: number;
}

function tryLayout(
  problem: Problem,
  layout: Layout,
  { tokenizer, spec }: Ready,
  { answers = "single", seed = 0 }: ProblemOptions,
): Placed | string {
  const placed = place(layout, problem.prompt, problem.answer);
  try {
    const raw: RawItem = {
      ...{ id: problem.id, group: problem.group, template: problem.template },
      ...{ cluster: problem.cluster, split: splitOf(problem.cluster, seed) },
      ...placed,
      ...(answers === "first" && { target: 0 }),
      roles: usableRoles(placed.prompt, problem.roles, tokenizer),
    };
    const item = toItem(checkLine(raw), 1, tokenizer, { ...spec, single: true });
    return { raw, layout, answerIds: item.answerIds, length: item.reference.length };
  } catch (error) {
    if (error instanceof KeyheadsError) return error.message;
    throw error;
  }
}

/** The first candidate of the same length in tokens, else the first that can be used. */
function counterfactualOf(
  { counterfactuals }: Problem,
  { raw, layout, answerIds, length }: Placed,
  { tokenizer, spec }: Ready,
): RawItem {
  let found: RawItem = {};
  for (const candidate of counterfactuals) {
    const placed = place(layout, candidate.prompt, candidate.answer);
    const other: RawItem = {
      counterfactual: placed.prompt,
      counterfactual_answer: placed.answer,
    };
    try {
      const line = checkLine({ ...raw, ...other });
      const item = toItem(line, 1, tokenizer, { ...spec, single: true });
      if (item.counterfactualAnswerId === answerIds[0]) continue;
      if (item.counterfactual?.length === length) return other;
      if (found.counterfactual === undefined) found = other;
    } catch (error) {
      if (!(error instanceof KeyheadsError)) throw error;
    }
  }
  return found;
}

/** Roles in code points, without those that cut through a token. */
function usableRoles(
  prompt: string,
  roles: Readonly<Record<string, TextSpan>>,
  tokenizer: Tokenizer,
): Record<string, Span> {
  const ids = tokenizer.encode(prompt);
  const points = (units: number) => [...prompt.slice(0, units)].length;
  const spans = Object.entries(roles).map(([role, [start, stop]]): [string, Span] => {
    return [role, [points(start), points(stop)]];
  });
  return Object.fromEntries(
    spans.filter(([role, span]) => {
      try {
        return tokenSpans(prompt, { [role]: span }, ids, tokenizer);
      } catch (error) {
        if (error instanceof KeyheadsError) return false;
        throw error;
      }
    }),
  );
}
