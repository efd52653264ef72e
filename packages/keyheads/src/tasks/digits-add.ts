/**
 * Sums of two zero-padded three-digit numbers, aaabbb -> four digits: the task of the MathGPT
 * models. Items are built from token ids directly; the tokenizer is asked once how digits map.
 */
import type {
  DigitClass,
  DigitCounterfactual,
  DigitQuestion,
  DigitsCard,
  TaskCard,
} from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import { answerDigit, counterfactualPair } from "./digit-counterfactuals.ts";
import {
  classPairs,
  firstOf,
  PairSplits,
  pairCluster,
  samplePairs,
  secondOf,
} from "./digit-pairs.ts";
import type { Item } from "./item.ts";
import type { ItemSet } from "./items.ts";
import type { Split } from "./splits.ts";

export interface DigitItemsOptions {
  /** Default: that of the question. */
  readonly counterfactual?: DigitCounterfactual;
  /** What other-prompt draws from; by default the pairs themselves. */
  readonly others?: Int32Array;
}

/** Teacher-forced sequences: six digits and the first three answer digits, nine tokens each. */
export interface DigitBatch {
  readonly tokens: Int32Array;
  readonly offsets: Int32Array;
  /** [pairs, 4]: what the last four rows of each sequence should predict. */
  readonly answers: Int32Array;
}

const promptLength = 6;
const answerLength = 4;
const powers = [1, 10, 100, 1000, 10_000, 100_000];

export class DigitsAdd {
  readonly card: DigitsCard;
  readonly splits: PairSplits;
  readonly #seed: number;
  readonly #ids: readonly number[];
  readonly #pairs = new Map<string, Int32Array>();

  /** Throws BAD_ARGUMENT if the card has no digits, or the tokenizer spells them otherwise. */
  constructor(card: TaskCard, tokenizer: Tokenizer, options: { readonly seed?: number } = {}) {
    if (!card.digits) {
      throw new KeyheadsError("BAD_ARGUMENT", `"${card.title}" has no sums of digits`);
    }
    this.card = card.digits;
    this.#seed = options.seed ?? 0;
    this.#ids = digitIds(tokenizer);
    this.splits = new PairSplits(card.splits, this.#seed);
  }

  question(name: string): DigitQuestion {
    return find(this.card.questions, name, "question");
  }

  class(name: string): DigitClass {
    return find(this.card.classes, name, "class");
  }

  /** All pairs of a class (or of one split of it) as a * 1000 + b, ascending. */
  pairs(name: string, split?: Split): Int32Array {
    const key = `${name}/${split ?? ""}`;
    let pairs = this.#pairs.get(key);
    if (!pairs) {
      pairs = split ? this.splits.only(this.pairs(name), split) : classPairs(this.class(name));
      this.#pairs.set(key, pairs);
    }
    return pairs;
  }

  /** A uniform sample of a class, by the seed of this object. */
  sample(name: string, count: number, split?: Split): Int32Array {
    return samplePairs(this.pairs(name, split), count, this.#seed);
  }

  /** One pair as an item; its line is the pair itself, its id "W/123+456". */
  itemOf(pair: number, question: DigitQuestion, options: DigitItemsOptions = {}): Item {
    const { digit, scored } = question;
    const others = options.others ?? this.pairs(question.class);
    const kind = options.counterfactual ?? question.counterfactual;
    const other = counterfactualPair(pair, kind, digit, this.#seed, others);
    const prompt = this.#prompt(pair);
    const answer = this.#answer(pair);
    const reference = [...prompt, ...answer.slice(0, digit)];
    const alone = scored === "digit";
    const [a, b] = [firstOf(pair), secondOf(pair)].map((x) => String(x).padStart(3, "0"));
    const text = String(firstOf(pair) + secondOf(pair)).padStart(answerLength, "0");
    return {
      id: `${question.name}/${a}+${b}`,
      line: pair,
      group: question.name,
      template: `aaabbb/${digit}`,
      cluster: pairCluster(pair),
      split: this.splits.of(pair),
      prompt: alone ? `${a}${b}${text.slice(0, digit)}` : `${a}${b}`,
      answer: alone ? (text[digit] as string) : text,
      promptIds: alone ? reference : prompt,
      answerIds: alone ? [answer[digit] as number] : answer,
      target: alone ? 0 : digit,
      reference,
      answerId: answer[digit] as number,
      counterfactual: [...this.#prompt(other), ...this.#answer(other).slice(0, digit)],
      counterfactualAnswerId: this.#id(answerDigit(other, digit)),
      roles: rolesOf(digit),
    };
  }

  items(pairs: Int32Array, question: DigitQuestion, options: DigitItemsOptions = {}): Item[] {
    const all = { others: pairs, ...options };
    return Array.from(pairs, (pair) => this.itemOf(pair, question, all));
  }

  /** The same, as the analyses take it. */
  itemSet(pairs: Int32Array, question: DigitQuestion, options: DigitItemsOptions = {}): ItemSet {
    return { name: question.name, items: this.items(pairs, question, options), dropped: [] };
  }

  /** Pairs as packed sequences, for the accuracy of whole classes without an object an item. */
  batch(pairs: Int32Array): DigitBatch {
    const width = promptLength + answerLength - 1;
    const tokens = new Int32Array(pairs.length * width);
    const answers = new Int32Array(pairs.length * answerLength);
    for (let i = 0; i < pairs.length; ++i) {
      const pair = pairs[i] as number;
      const sum = firstOf(pair) + secondOf(pair);
      for (let k = 0; k < promptLength; ++k) {
        tokens[i * width + k] = this.#id(
          Math.floor(pair / (powers[promptLength - 1 - k] as number)) % 10,
        );
      }
      for (let k = 0; k < answerLength; ++k) {
        const id = this.#id(Math.floor(sum / (powers[answerLength - 1 - k] as number)) % 10);
        answers[i * answerLength + k] = id;
        if (k < answerLength - 1) tokens[i * width + promptLength + k] = id;
      }
    }
    const offsets = Int32Array.from({ length: pairs.length + 1 }, (_, i) => i * width);
    return { tokens, offsets, answers };
  }

  #id(digit: number): number {
    return this.#ids[digit] as number;
  }

  #prompt(pair: number): number[] {
    // a * 1000 + b spells the prompt.
    return Array.from(String(pair).padStart(promptLength, "0"), (c) => this.#id(Number(c)));
  }

  #answer(pair: number): number[] {
    return Array.from({ length: answerLength }, (_, digit) => this.#id(answerDigit(pair, digit)));
  }
}

/** Token id of every digit. */
function digitIds(tokenizer: Tokenizer): number[] {
  const ids = tokenizer.encode("0123456789");
  const each = Array.from("0123456789", (digit) => tokenizer.encode(digit));
  if (ids.length !== 10 || each.some((id, i) => id.length !== 1 || id[0] !== ids[i])) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `digit sums need one token a digit and no others; this tokenizer spells "0123456789" in ${ids.length} tokens`,
    );
  }
  return ids;
}

const roles = Array.from({ length: answerLength }, (_, digit) => makeRoles(digit));

/** Roles by what a column is to the measured digit; shared by all items. */
function rolesOf(digit: number): Item["roles"] {
  return roles[digit] as Item["roles"];
}

function makeRoles(digit: number): Item["roles"] {
  const forced = digit > 0 ? { forced_digit: [promptLength, promptLength + digit] } : {};
  const columns: Record<string, [start: number, stop: number]> = {
    // The first digit is a carry: hundreds and tens propagate it.
    ...(digit === 0 ? { propagating: [0, 2] } : { same_column: [digit - 1, digit] }),
    ...(digit === 1 ? { propagating: [1, 2] } : {}),
    ...(digit < 3 ? { carry_source: [2, 3] } : {}),
  };
  const both = Object.entries(columns).flatMap(([role, [start, stop]]) => [
    [`${role}_a`, [start, stop]],
    [`${role}_b`, [start + 3, stop + 3]],
  ]);
  return Object.freeze({ ...Object.fromEntries(both), ...forced }) as Item["roles"];
}

function find<T extends { readonly name: string }>(all: readonly T[], name: string, what: string) {
  const found = all.find((entry) => entry.name === name);
  if (found) return found;
  const names = all.map((entry) => entry.name).join(", ");
  throw new KeyheadsError("BAD_ARGUMENT", `no ${what} "${name}"; this model has ${names}`);
}
