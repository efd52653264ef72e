// The plan for models that add digit by digit (MathGPT): which heads and MLPs carry through a column
// that sums to nine, and what tuning only them does.
import type { BundledModel, DigitQuestion, TaskCard } from "@keyheads/models";
import { fixedAnswers } from "../evaluation/answers.ts";
import type { Model } from "../model.ts";
import { samplePairs } from "../tasks/digit-pairs.ts";
import { DigitsAdd } from "../tasks/digits-add.ts";
import type { Split } from "../tasks/splits.ts";
import type { EvaluationClass, RunPlan, RunQuestion } from "./plan.ts";

/** The classes that make up the population, the tuned one first. */
const classes = ["W", "W9", "hundreds9", "others"] as const;
const discoverItems = 2000;
const testItems = 400;
const classSample = 800;

export function digitsPlan(
  model: Model,
  card: TaskCard,
  bundled: BundledModel | undefined,
  options: { readonly task?: readonly string[]; readonly seed: number },
): RunPlan {
  const digits = new DigitsAdd(card, model.needTokenizer(), { seed: options.seed });
  const questions = options.task ?? ["W", "W9"];
  return {
    task: {
      title: card.title,
      summary: card.summary,
      promptForm: card.promptForm,
      notes: [
        ...card.notes,
        `Splits are by ${card.splits.by}: ${100 * card.splits.discover} % discover and tune, ` +
          `${100 * card.splits.dev} % dev, ${100 * card.splits.test} % test.`,
        "Accuracies are over every pair of the test split; for the two classes with carries also over " +
          "the whole population.",
        "Controls are other columns of the same sums; text and unrelated tasks do not exist here.",
      ],
    },
    ...(bundled && { origin: bundled.origin, licence: bundled.licence }),
    questions: questions.map((name) => makeQuestion(digits, digits.question(name))),
    classes: [
      ...(["W", "W9"] as const).map((name) => wholeClass(digits, name)),
      ...(["hundreds9", "others"] as const).map((name) => sampledClass(digits, name, "test")),
    ],
    tuning: {
      target: "W",
      train: answers(digits, digits.sample("W", 8000, "discover")),
      dev: answers(digits, digits.sample("W", 500, "dev")),
      devOther: answers(digits, elsewhere(digits, 1000, "dev")),
      replay: answers(digits, elsewhere(digits, 8000, "discover")),
      classes: classes.map((name) => sampledClass(digits, name, "test", classSample)),
      maxUpdates: 32,
    },
    missing: card.missing,
    nullOperator: false,
  };
}

function makeQuestion(digits: DigitsAdd, question: DigitQuestion): RunQuestion {
  const sample = (name: string, count: number, split: Split) =>
    digits.sample(name, Math.min(count, digits.pairs(name, split).length), split);
  const discover = sample(question.class, discoverItems, "discover");
  const control = question.control === undefined ? undefined : digits.question(question.control);
  return {
    name: question.name,
    title: question.title,
    description: question.description,
    discover: digits.itemSet(discover, question),
    test: digits.itemSet(sample(question.class, testItems, "test"), question),
    // Heads are removed at END, where this digit alone is predicted.
    scored: "target",
    unrelated: digits.itemSet(discover, question, { counterfactual: "other-prompt" }),
    ...(control && {
      control: {
        title: control.title,
        test: digits.itemSet(sample(control.class, testItems, "test"), control),
      },
    }),
  };
}

/** A uniform sample of all pairs outside the tuned class. */
function elsewhere(digits: DigitsAdd, count: number, split: Split): Int32Array {
  const pairs = classes.slice(1).flatMap((name) => [...digits.pairs(name, split)]);
  return samplePairs(Int32Array.from(pairs), count, 1);
}

/** Every pair of a class, and first those of the test split. */
function wholeClass(digits: DigitsAdd, name: string): EvaluationClass {
  const { title } = digits.class(name);
  const test = digits.pairs(name, "test");
  const rest = digits.pairs(name).filter((pair) => digits.splits.of(pair) !== "test");
  return {
    name: `${name}-population`,
    title: `${title}: all pairs, tuned ones included`,
    set: answers(digits, test, rest),
    exhaustive: true,
    first: { count: test.length, name, title },
  };
}

/** The whole test split of a class, or a uniform sample of it. */
function sampledClass(
  digits: DigitsAdd,
  name: string,
  split: Split,
  count?: number,
): EvaluationClass {
  const all = digits.pairs(name, split);
  const exhaustive = count === undefined || count >= all.length;
  const pairs = exhaustive ? all : digits.sample(name, count, split);
  const { title, pairs: weight } = digits.class(name);
  return { name, title, set: answers(digits, pairs), exhaustive, weight };
}

/** Prompt and whole answer of every pair: ten tokens. */
function answers(digits: DigitsAdd, ...lists: readonly Int32Array[]) {
  const width = 9;
  const parts = lists.map((pairs) => {
    const { tokens, answers: targets } = digits.batch(pairs);
    const out = new Int32Array(pairs.length * (width + 1));
    for (let i = 0; i < pairs.length; ++i) {
      out.set(tokens.subarray(i * width, (i + 1) * width), i * (width + 1));
      out[i * (width + 1) + width] = targets[i * 4 + 3] as number;
    }
    return out;
  });
  const joined = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return fixedAnswers(joined, { length: width + 1, promptLength: 6 });
}
