/**
 * The built-in wordings: five forms in each of three styles for every operation, after the three
 * prompt styles of Zhang et al. (ICML 2024), whose own list was not published. The same form has
 * the same name under all operations, so that an operator can be swapped and nothing else.
 */
import type { Operation, Style, TemplateCard } from "./card.ts";

export const operations: readonly Operation[] = ["add", "sub", "mul", "div"];

interface Words {
  readonly sign: string;
  readonly word: string;
  /** "[sum] of {a} and {b}" */
  readonly noun: string;
  /** "[add] {a} and {b}" */
  readonly verb: string;
}

const words: Readonly<Record<Operation, Words>> = {
  add: { sign: "+", word: "plus", noun: "[sum] of {a} and {b}", verb: "[add] {a} and {b}" },
  sub: {
    sign: "-",
    word: "minus",
    noun: "[difference] between {a} and {b}",
    verb: "[subtract] {b} from {a}",
  },
  mul: {
    sign: "*",
    word: "times",
    noun: "[product] of {a} and {b}",
    verb: "[multiply] {a} by {b}",
  },
  div: {
    sign: "/",
    word: "divided by",
    noun: "[quotient] of {a} and {b}",
    verb: "[divide] {a} by {b}",
  },
};

function forms({ sign, word, noun, verb }: Words): Record<string, [Style, string]> {
  return {
    sign: ["equation", `{a} [${sign}] {b} (=)`],
    word: ["equation", `{a} [${word}] {b} (=)`],
    calculate: ["equation", `Calculate: {a} [${sign}] {b} (=)`],
    brackets: ["equation", `\\({a} [${sign}] {b}\\) (=)`],
    unknown: ["equation", `x = {a} [${sign}] {b}, x (=)`],
    equals: ["statement", `{a} [${word}] {b} (equals)`],
    "equals-to": ["statement", `{a} [${word}] {b} (equals to)`],
    noun: ["statement", `The ${noun} (is)`],
    result: ["statement", `The result of {a} [${word}] {b} (is)`],
    if: ["statement", `If you ${verb}, you (get)`],
    "q-noun": ["question", `Q: What is the ${noun}? (A:)`],
    "q-word": ["question", `Q: What is {a} [${word}] {b}? (A:)`],
    "q-much": ["question", `Question: How much is {a} [${word}] {b}? (Answer:)`],
    "q-get": ["question", `What do you get if you ${verb}? (Answer:)`],
    "q-sign": ["question", `Q: {a} [${sign}] {b} = ? (A:)`],
  };
}

/** 15 an operation. */
export const wordings: readonly TemplateCard[] = operations.flatMap((operation) =>
  Object.entries(forms(words[operation])).map(([name, [style, text]]) => ({
    operation,
    style,
    name,
    text,
  })),
);
