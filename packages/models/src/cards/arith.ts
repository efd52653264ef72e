/** arith: the model that keyheads trained itself (docs/pretraining.md). */
import type { ArithmeticCard, Operation, TaskCard } from "../card.ts";
import { type HeldOutRule, heldOutKind } from "../held-out.ts";
import { operations, wordings } from "../wordings.ts";
import { unfamiliar } from "./unfamiliar.ts";
import { arithmeticRoles, stories, storySlots, whichColor, whoReceived } from "./words.ts";

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
  roles: arithmeticRoles,
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
    training: { rule, withheldWordings: ["if"], unfamiliar },
    known:
      "add, sub, mul, div: 100 % on trained facts; 97, 100, 54, 68 % on held-out ones; 99 to 100 % " +
      "in the withheld wording (1,000 prompts each)",
  },
  words: [
    whoReceived("100 % of 1,200"),
    whichColor("35 % of 1,200, where one of three colours by chance is 33 %"),
  ],
  text: {
    title: "English prose (end of The Adventures of Tom Sawyer)",
    file: "tom-sawyer.txt",
    licence: "public domain",
  },
  missing: [],
  notes: [
    "Unfamiliar wordings, such as “The total of 3 and 4 is”, have words for the operation that training " +
      "never had. Tuning learns them on some pairs of numbers and is tested on others.",
    "Text was trained in pieces of 96 tokens: 3.4 nats a token in such pieces.",
    "Products were trained up to 399; beyond that the model is wrong.",
    "It finds numbers and words by their place, not by what stands beside them: of several colours " +
      "or owners it names one by chance.",
  ],
};
