/**
 * Arithmetic beyond one operation on two small numbers, to see whether the same heads do it: sums of
 * numbers of several digits, decimals, powers, spans of years, and objects that are counted together.
 * X_c has another number in one place.
 */

import { type Equation, parseEquation, writeNumber } from "./datasets/equation.ts";
import {
  clusterName,
  findNumbers,
  operandRoles,
  otherNumbers,
  type Problem,
} from "./datasets/problem.ts";
import { hashBelow } from "./hash.ts";

export const appliedTasks = ["multi-digit", "decimals", "power", "years", "objects"] as const;
export type AppliedTask = (typeof appliedTasks)[number];

interface Kind {
  /** Wordings; `{0}`, `{1}`, ... are the numbers, `{x}` and so on what is counted. */
  readonly wordings: readonly string[];
  draw(random: Draw): readonly number[];
  equation(numbers: readonly number[]): Equation | undefined;
}
/** A whole number from low to high, of this problem. */
type Draw = (low: number, high: number) => number;

const things = "apples pears plums coins cards shells stamps pens cups books".split(" ");
const sum = (numbers: readonly number[]) => parseEquation(numbers.join(" + "));

const kinds: Readonly<Record<AppliedTask, Kind>> = {
  "multi-digit": {
    wordings: ["{0} + {1} =", "{0} plus {1} equals", "Q: What is the sum of {0} and {1}? A:"],
    draw: (from) => [from(100, 899), from(100, 899)],
    equation: sum,
  },
  decimals: {
    wordings: ["{0} + {1} =", "{0} plus {1} equals", "Q: What is the sum of {0} and {1}? A:"],
    draw: (from) => [from(11, 89) / 10, from(11, 89) / 10],
    equation: sum,
  },
  power: {
    wordings: [
      "{0} ^ {1} =",
      "{0} to the power of {1} is",
      "Q: What is {0} raised to the power of {1}? A:",
    ],
    draw: (from) => {
      const base = from(2, 30);
      return [base, from(2, Math.max(2, Math.floor(Math.log(999) / Math.log(base))))];
    },
    equation: (numbers) => ({
      ...{ numbers, operators: ["^"] },
      // Larger results are not asked for.
      solve: ([base = Number.NaN, exponent = Number.NaN]) => {
        const value = base ** exponent;
        return value <= 999 ? value : Number.NaN;
      },
    }),
  },
  years: {
    wordings: [
      "The number of years from {0} to {1} is",
      "From {0} to {1} is a span, in years, of",
      "Q: How many years is it from {0} to {1}? A:",
    ],
    draw: (from) => {
      const start = from(1700, 1950);
      return [start, start + from(2, 60)];
    },
    equation: ([start = 0, end = 0]) => parseEquation(`x + ${start} = ${end}`),
  },
  objects: {
    wordings: [
      "I have {0} {x}, {1} {y} and {2} {z}. The number of things I have is",
      "On the table are {0} {x}, {1} {y} and {2} {z}. In all that makes",
      "Q: Tom has {0} {x}, {1} {y} and {2} {z}. How many things does Tom have? A:",
    ],
    draw: (from) => [from(2, 9), from(2, 9), from(2, 9)],
    equation: sum,
  },
};

/** Draws problems without repeats, wordings in turn; fewer where there are no more. */
export function* appliedProblems(task: AppliedTask, seed: number): Generator<Problem> {
  const { wordings, draw, equation: equationOf } = kinds[task];
  const seen = new Set<string>();
  for (let i = 0, repeats = 0; repeats < 1000; ++i) {
    const pick = (n: number, what: string | number) => hashBelow(n, seed, task, i, what);
    let drawn = 0;
    const numbers = draw((low, high) => low + pick(high - low + 1, ++drawn));
    const names = distinct(things, 3, (attempt) => pick(things.length, `thing ${attempt}`));
    const equation = equationOf(numbers);
    const answer = equation && writeNumber(equation.solve(equation.numbers));
    const wording = wordings[i % wordings.length] as string;
    const prompt = wording.replace(/\{(\w)\}/g, (_, slot: string) => {
      const at = "xyz".indexOf(slot);
      return at < 0 ? String(numbers[Number(slot)]) : (names[at] as string);
    });
    if (!equation || answer === undefined || seen.has(prompt)) {
      repeats += 1;
      continue;
    }
    seen.add(prompt);
    const id = `${task}-${seen.size}`;
    const spans = findNumbers(prompt, inOrder(equation, numbers), "first");
    yield {
      ...{ id, group: task, template: `${task}-${(i % wordings.length) + 1}` },
      cluster: clusterName(numbers, Number(answer)),
      ...{ prompt, separator: " " as const, answer },
      roles: operandRoles(findNumbers(prompt, numbers, "first")),
      counterfactuals: otherNumbers({ prompt, id }, equation, spans, seed),
    };
  }
}

/** The same as readers, no more than `most`: what a model cannot be asked must not be tried for ever. */
export function* appliedReaders(
  task: AppliedTask,
  seed: number,
  most: number,
): Generator<() => Problem[]> {
  let given = 0;
  for (const problem of appliedProblems(task, seed)) {
    if (++given > most) return;
    yield () => [problem];
  }
}

/** The equation's own numbers where it has them in another form. */
function inOrder({ numbers }: Equation, drawn: readonly number[]): readonly number[] {
  return numbers.length === drawn.length ? numbers : drawn;
}

function distinct<T>(list: readonly T[], count: number, draw: (attempt: number) => number): T[] {
  const found = new Set<T>();
  for (let attempt = 0; found.size < count; ++attempt) found.add(list[draw(attempt)] as T);
  return [...found];
}
