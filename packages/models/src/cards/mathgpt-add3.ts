/**
 * The three MathGPT adders (RafalLeja/MathGPT, MIT): aaabbb -> four digits of a + b. Their errors
 * are carries that must pass through a tens column summing to nine, so that is what is asked.
 */
import type { DigitClass, DigitQuestion, TaskCard } from "../card.ts";

const classes: readonly DigitClass[] = [
  {
    name: "W",
    title: "tens digits sum to 9, hundreds digits do not",
    tens: "nine",
    hundreds: "not-nine",
    pairs: 90_000,
  },
  {
    name: "W9",
    title: "tens and hundreds digits both sum to 9",
    tens: "nine",
    hundreds: "nine",
    pairs: 10_000,
  },
  {
    name: "hundreds9",
    title: "only the hundreds digits sum to 9",
    tens: "not-nine",
    hundreds: "nine",
    pairs: 90_000,
  },
  {
    name: "others",
    title: "neither tens nor hundreds digits sum to 9",
    tens: "not-nine",
    hundreds: "not-nine",
    pairs: 810_000,
  },
  { name: "tens-not-9", title: "tens digits do not sum to 9", tens: "not-nine", pairs: 900_000 },
  { name: "all", title: "all pairs", pairs: 1_000_000 },
];

const questions: readonly DigitQuestion[] = [
  {
    name: "W",
    title: "carry through the tens column into the hundreds digit",
    description:
      "The tens digits sum to 9, so the hundreds digit of the sum depends on the carry out of the " +
      "ones column. The first answer digit does not, and is given. X_c redraws the two ones digits " +
      "so that their carry flips: nothing else changes, and C' is the hundreds digit under it.",
    class: "W",
    digit: 1,
    counterfactual: "flip-ones-carry",
    scored: "answer",
    part: "task",
    control: "same-end",
  },
  {
    name: "W9",
    title: "carry through tens and hundreds columns into the first digit",
    description:
      "Tens and hundreds digits both sum to 9, so that already the first answer digit depends on " +
      "the carry out of the ones column.",
    class: "W9",
    digit: 0,
    counterfactual: "flip-ones-carry",
    scored: "answer",
    part: "task",
    control: "same-end",
  },
  {
    name: "same-end",
    title: "hundreds digit without a propagating tens column",
    description:
      "The same position and the same answer digit as W, but the tens column makes or stops the " +
      "carry itself. X_c redraws the tens digits so that their carry flips.",
    class: "others",
    digit: 1,
    counterfactual: "flip-tens-carry",
    scored: "digit",
    part: "control",
  },
  {
    name: "tens-digit",
    title: "tens digit at its own position",
    description: "The two answer digits before it are given. X_c flips the carry out of the ones.",
    class: "tens-not-9",
    digit: 2,
    counterfactual: "flip-ones-carry",
    scored: "digit",
    part: "control",
  },
  {
    name: "ones-digit",
    title: "ones digit at its own position",
    description: "The three answer digits before it are given. X_c redraws the ones digits.",
    class: "all",
    digit: 3,
    counterfactual: "redraw-ones",
    scored: "digit",
    part: "control",
  },
  {
    name: "add",
    title: "any two numbers",
    description:
      "All pairs, the whole answer; the hundreds digit is measured. X_c is another pair.",
    class: "all",
    digit: 1,
    counterfactual: "other-prompt",
    scored: "answer",
    part: "task",
    control: "ones-digit",
  },
];

/** `accuracy`: the share of the million pairs, or of a sample of them, that is right. */
export function mathgptAdd3(size: string, accuracy: string): TaskCard {
  return {
    title: "Three-digit addition, digit by digit",
    summary:
      `A GPT-2 of ${size} that reads two zero-padded three-digit numbers without any separator ` +
      `and writes their sum as four digits. ${accuracy}. Nearly all errors are carries that must ` +
      "pass through a tens column whose digits sum to 9.",
    promptForm: "123456 -> 0579 (123 + 456 = 579)",
    answer: "four tokens, one per digit",
    roles: [
      {
        name: "same_column",
        title: "same column (hundreds digits)",
        spans: ["same_column_a", "same_column_b"],
      },
      {
        name: "propagating",
        title: "propagating column (tens digits)",
        spans: ["propagating_a", "propagating_b"],
      },
      {
        name: "carry_source",
        title: "carry source (ones digits)",
        spans: ["carry_source_a", "carry_source_b"],
      },
      { name: "forced_digit", title: "first answer digit, given", spans: ["forced_digit"] },
    ],
    splits: {
      discover: 0.5,
      dev: 0.2,
      test: 0.3,
      by: "unordered pair of the last two digits of both numbers",
    },
    defaultTask: "W",
    digits: { operandDigits: 3, answerDigits: 4, classes, questions },
    missing: [
      {
        what: "operators and operator words",
        why: "the prompt is six digits; that they are to be added is never said",
        claims: ["attend-operator", "null-operator"],
      },
      {
        what: "other operations",
        why: "the vocabulary is ten digits and the model was trained on sums alone",
        claims: ["shared-operations"],
      },
      {
        what: "other wordings and data sets",
        why: "there is one form of prompt",
        claims: ["transfer-wording"],
      },
      {
        what: "text and tasks without arithmetic",
        why: "the vocabulary has no words; other columns of the sum are the only controls",
        claims: ["heads-specific", "tuning-preserves"],
      },
    ],
    notes: [
      "The tokenizer maps every unknown character to the digit 0; such text is refused.",
      "The context is nine tokens: six digits and the first three answer digits.",
      "The model saw the whole population in training: held out means held out from our tuning.",
    ],
  };
}
