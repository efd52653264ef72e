/** arith: the model that keyheads trained itself (docs/pretraining.md). */
import type { ArithmeticCard, Operation, TaskCard } from "../card.ts";
import { type HeldOutRule, heldOutKind } from "../held-out.ts";
import { operations, wordings } from "../wordings.ts";
import { stories, storySlots, whichColor, whoReceived } from "./words.ts";

const operands = { min: 0, max: 59 };
const largest = 399;
const rule: HeldOutRule = { seed: 4, families: 0.1, products: 0.04 };

/** All ordered pairs that the rule leaves out. */
function heldOutPairs(operation: Operation): [number, number][] {
  const pairs: [number, number][] = [];
  for (let x = operands.min; x <= operands.max; ++x) {
    for (let b = operands.min; b <= operands.max; ++b) {
      const a = operation === "div" ? x * b : x;
      const c = { add: a + b, sub: a - b, mul: a * b, div: x }[operation];
      if (heldOutKind(rule, operation, a, b, c) !== undefined) pairs.push([a, b]);
    }
  }
  return pairs;
}

const heldOut = Object.fromEntries(
  operations.map((operation) => [operation, heldOutPairs(operation)]),
) as unknown as ArithmeticCard["heldOut"];

export const arith: TaskCard = {
  title: "Arithmetic in words and symbols, trained by keyheads",
  summary:
    "A LLaMA that keyheads trained from scratch on four operations with operands below 60 in 14 " +
    "wordings and short stories, on numbers without calculation, two other tasks, and English.",
  promptForm: "12 + 7 = -> 19; The sum of 12 and 7 is -> 19",
  answer: "one token: every number from 0 to 999 is one",
  roles: [
    { name: "operand1", title: "first operand", spans: ["operand1"] },
    { name: "operator", title: "operator sign or word", spans: ["operator"] },
    { name: "operand2", title: "second operand", spans: ["operand2"] },
    { name: "equals", title: "the words that call for the answer", spans: ["equals"] },
    { name: "bos", title: "begin of text", spans: ["bos"] },
  ],
  splits: { discover: 0.5, dev: 0.2, test: 0.3, by: "operand fact {a, b, c}, in any order" },
  defaultTask: "add",
  arithmetic: {
    operations,
    operands,
    smallerFactor: 19,
    largest,
    templates: [...wordings, ...stories],
    counterfactual: "null-operator",
    slots: storySlots,
    heldOut,
    training: { rule, withheldWordings: ["if"] },
    known: "see README.md of the model",
  },
  words: [whoReceived("see README.md of the model"), whichColor("see README.md of the model")],
  text: {
    title: "English prose (end of The Adventures of Tom Sawyer)",
    file: "tom-sawyer.txt",
    licence: "public domain",
  },
  missing: [],
  notes: [],
};
