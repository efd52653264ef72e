/** arith-demo: four operations in words and symbols, two other tasks, plain text. */
import type { Operation, TaskCard, TemplateCard } from "../card.ts";
import { operations } from "../wordings.ts";
import { arithDemoHeldOut } from "./arith-demo-held-out.ts";
import { arithmeticRoles, stories, storySlots, whichColor, whoReceived } from "./words.ts";

const words: Readonly<Record<Operation, { sign: string; word: string; noun: string }>> = {
  add: { sign: "+", word: "plus", noun: "sum" },
  sub: { sign: "-", word: "minus", noun: "difference" },
  mul: { sign: "*", word: "times", noun: "product" },
  div: { sign: "/", word: "divided by", noun: "quotient" },
};

function wordings(operation: Operation): TemplateCard[] {
  const { sign, word, noun } = words[operation];
  return [
    { operation, style: "equation", name: "equation", text: `{a} [${sign}] {b} (=) {c}` },
    { operation, style: "statement", name: "equals", text: `{a} [${word}] {b} (equals) {c}` },
    { operation, style: "statement", name: "noun", text: `The [${noun}] of {a} and {b} (is) {c}` },
    { operation, style: "question", name: "q-a", text: `Q: What is {a} [${word}] {b}? (A:) {c}` },
    {
      operation,
      style: "question",
      name: "question-answer",
      text: `Question: {a} [${sign}] {b} = ? (Answer:) {c}`,
    },
  ];
}

export const arithDemo: TaskCard = {
  title: "Arithmetic in words and symbols",
  summary:
    "A LLaMA of 6 layers x 8 heads (3.05 million parameters) trained on four operations with " +
    "operands below 40 in five wordings and six short stories, on two other tasks, and on English.",
  promptForm: "12 + 7 = -> 19; The sum of 12 and 7 is -> 19",
  answer: "one token: every number from 0 to 999 is one",
  roles: arithmeticRoles,
  splits: { discover: 0.5, dev: 0.2, test: 0.3, by: "operand fact {a, b, c}, in any order" },
  defaultTask: "add",
  arithmetic: {
    operations,
    operands: { min: 0, max: 39 },
    smallerFactor: 12,
    largest: 399,
    templates: [...operations.flatMap(wordings), ...stories],
    // The null words never stood between two numbers in training.
    counterfactual: "operands",
    slots: storySlots,
    heldOut: arithDemoHeldOut,
    known:
      "add, sub: 100 % on trained and held-out pairs; mul: 100 / 90 %; div: 100 / 87 % " +
      "(100 prompts each, first two wordings)",
  },
  words: [
    whoReceived("100 % of 100"),
    whichColor("38 % of 100, where one of three colours by chance is 33 %"),
  ],
  text: {
    title: "English prose (end of The Adventures of Tom Sawyer)",
    file: "tom-sawyer.txt",
    licence: "public domain",
  },
  missing: [],
  notes: [
    "Text was trained in short pieces: 3.4 nats a token in windows of 64 to 128 tokens, 3.9 in 192, " +
      "worse beyond.",
    "Products were trained up to 399 with one factor up to 12: beyond that the model is wrong.",
    "Held-out pairs are ordered: (b, a) and inverse operations may have been seen in training.",
    "The null words of the paper (nothing, none, <, @) never followed a number in training: " +
      "what happens there may be shock rather than the absence of calculation.",
  ],
};
