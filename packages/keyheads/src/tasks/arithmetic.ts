/**
 * The built-in arithmetic tasks: operand facts in wordings, each with its counterfactual, checked
 * against the model's tokenizer. Every candidate that cannot be used is counted with its reason.
 */
import type { ArithmeticCounterfactual, Operation, Style } from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";
import { rng } from "../statistics/rng.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import { type Candidate, type Context, counterfactualOf } from "./arithmetic-counterfactuals.ts";
import { enumerateFacts, type FactLimits, factCluster, limitsOf, unpack } from "./facts.ts";
import { fitNumbers, type NumberFit, place } from "./fit.ts";
import { hashBelow } from "./hash.ts";
import { toItem } from "./item.ts";
import { checkLine } from "./line.ts";
import type { RawItem } from "./line-fields.ts";
import { defaultShares, type Split, type SplitShares, splitOf } from "./splits.ts";
import { render, type Template } from "./template.ts";
import { builtInTemplates } from "./templates.ts";

export interface ArithmeticOptions {
  readonly tokenizer: Tokenizer;
  readonly operation: Operation;
  /** Items wanted; fewer come back where there are no more. */
  readonly count: number;
  readonly seed?: number;
  /** All but stories by default. */
  readonly styles?: readonly Style[];
  /** Default: the built-in ones. Those of other operations serve the counterfactual `operator`. */
  readonly templates?: readonly Template[];
  readonly counterfactual?: ArithmeticCounterfactual;
  /** Default: what the tokenizer allows. */
  readonly limits?: Partial<FactLimits>;
  /** Words for slots of templates. */
  readonly slots?: Readonly<Record<string, readonly string[]>>;
  /** Restricts the facts, for instance to pairs that training left out. */
  readonly only?: (a: number, b: number) => boolean;
  /** Only clusters of this split. */
  readonly split?: Split;
  readonly shares?: SplitShares;
  /** Of the model; without them lengths and ids are not checked here. */
  readonly vocab?: number;
  readonly context?: number;
}

export interface TaskItems {
  readonly items: RawItem[];
  /** Candidates that could not be used; after 1,000 and ten for every item wanted it gives up. */
  readonly dropped: { readonly candidate: string; readonly why: string }[];
  /** Different prompts that there are, with those that could not be used. */
  readonly available: number;
}

/** Operators that say nothing, in place of signs and of words. */
export const nullSigns = ["<", "@"];
export const nullWords = ["nothing", "none"];

/**
 * Items of one operation: wordings take turns, facts are drawn without repeats. Throws
 * BAD_ARGUMENT where the tokenizer or the options leave nothing to ask.
 */
export function arithmeticItems(options: ArithmeticOptions): TaskItems {
  const { tokenizer, operation, seed = 0, shares = defaultShares } = options;
  const all = options.templates ?? builtInTemplates;
  const styles = options.styles ?? ["equation", "statement", "question"];
  const templates = all.filter((t) => t.operation === operation && styles.includes(t.style));
  if (templates.length === 0) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `no template for ${operation} in the styles ${styles.join(", ")}`,
    );
  }
  const fit = fitNumbers(tokenizer, (templates[0] as Template).separator);
  const limits = { ...limitsOf(fit), ...options.limits };
  const splitName = (packed: number) =>
    splitOf(factCluster(unpack(operation, packed)), seed, shares);
  const facts = enumerateFacts(operation, limits, fit, options.only).filter(
    (packed) => options.split === undefined || splitName(packed) === options.split,
  );
  if (facts.length === 0) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `no ${operation} fact has operands in ${limits.min}..${limits.max}, numbers up to ` +
        `${limits.largest} and an answer of one token under this tokenizer`,
    );
  }
  const random = rng(seed);
  const context: Context = {
    kind: options.counterfactual ?? "null-operator",
    seed,
    facts,
    templates,
    all,
    limits,
    fit,
    splitOf: (fact) => splitOf(factCluster(fact), seed, shares),
    tokens: (prompt) => tokenizer.encode(prompt).length,
    nullWord: (operator, id) => {
      const list = /\p{L}/u.test(operator) ? nullWords : nullSigns;
      return list[hashBelow(list.length, seed, "null", id)] as string;
    },
    fill: (template, a, b, id) => ({ a, b, slots: slotsOf(template, options, seed, id) }),
  };
  return collect(options, context, random.shuffle(facts), random.shuffle(templates));
}

function collect(
  options: ArithmeticOptions,
  context: Context,
  facts: readonly number[],
  templates: readonly Template[],
): TaskItems {
  const items: RawItem[] = [];
  const dropped: TaskItems["dropped"] = [];
  const available = facts.length * templates.length;
  const patience = 1000 + 10 * options.count;
  for (let i = 0; i < available && items.length < options.count; ++i) {
    if (dropped.length >= patience) break;
    const round = Math.floor(i / facts.length);
    const index = i % facts.length;
    // For one fact every round has another template.
    const template = templates[(index + round) % templates.length] as Template;
    const fact = unpack(options.operation, facts[index] as number);
    const id = `${options.operation}-${template.name}-${fact.a}-${fact.b}`;
    const filling = context.fill(template, fact.a, fact.b, id);
    const candidate: Candidate = { id, template, fact, filling, ...render(template, filling) };
    try {
      const raw = rawItem(candidate, context);
      toItem(checkLine(raw), i + 1, options.tokenizer, {
        single: true,
        vocab: options.vocab ?? Number.POSITIVE_INFINITY,
        context: options.context ?? Number.POSITIVE_INFINITY,
      });
      items.push(raw);
    } catch (error) {
      if (!(error instanceof KeyheadsError)) throw error;
      dropped.push({ candidate: candidate.prompt, why: error.message });
    }
  }
  return { items, dropped, available };
}

function rawItem(candidate: Candidate, context: Context): RawItem {
  const { id, template, fact, prompt, roles } = candidate;
  const other = counterfactualOf(candidate, context);
  const { layout } = layoutOf(template, context.fit);
  const placed = place(layout, prompt, String(fact.c));
  const placedOther = place(layout, other.prompt, String(other.answer ?? ""));
  return {
    id,
    group: template.operation,
    template: template.name,
    cluster: factCluster(fact),
    split: context.splitOf(fact),
    prompt: placed.prompt,
    answer: placed.answer,
    counterfactual: placedOther.prompt,
    ...(other.answer === undefined ? {} : { counterfactual_answer: placedOther.answer }),
    roles,
  };
}

/** A template without a space before its answer has numbers bare. */
function layoutOf(template: Template, fit: NumberFit): Pick<NumberFit, "layout"> {
  return template.separator === "" ? { layout: "bare" } : fit;
}

function slotsOf(
  template: Template,
  { slots = {} }: ArithmeticOptions,
  seed: number,
  id: string,
): Record<string, string> {
  const filled: Record<string, string> = {};
  for (const name of template.slots) {
    const words = slots[name];
    if (!words || words.length === 0) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `template ${template.name}: there are no words for the slot {${name}}`,
      );
    }
    filled[name] = words[hashBelow(words.length, seed, name, id)] as string;
  }
  return filled;
}
