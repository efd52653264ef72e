// A problem of a data set, before any tokenizer: a prompt, its answer, where its operands stand, and
// prompts with another number in it that have another answer.
import { hash, hashBelow } from "../hash.ts";
import { type Equation, writeNumber } from "./equation.ts";

/** In UTF-16 units of the prompt. */
export type TextSpan = readonly [start: number, stop: number];

export interface Problem {
  readonly id: string;
  /** The operation: add, sub, mul, div, mixed, or the data set's own. */
  readonly group: string;
  readonly template: string;
  readonly cluster: string;
  /** Without the space before the answer. */
  readonly prompt: string;
  readonly separator: " " | "";
  readonly answer: string;
  readonly roles: Readonly<Record<string, TextSpan>>;
  /** Candidates for X_c, best first; none where nothing is known to change the answer. */
  readonly counterfactuals: readonly { readonly prompt: string; readonly answer: string }[];
}

const names: Readonly<Record<string, string>> = { "+": "add", "-": "sub", "*": "mul", "/": "div" };

/** The operation of an equation with one kind of sign, else "mixed". */
export function operationOf({ operators }: Equation): string {
  return operators.length === 1 ? (names[operators[0] as string] as string) : "mixed";
}

/** The numbers and the answer in ascending order: the same fact in any order is one cluster. */
export function clusterName(numbers: readonly number[], answer: number): string {
  return [...numbers, answer].sort((a, b) => a - b).join(",");
}

/**
 * Where the numbers stand in a text, each place used once: the first ones, or the last ones before
 * the end. A number that is not there in digits is undefined.
 */
export function findNumbers(
  text: string,
  numbers: readonly number[],
  from: "first" | "last",
): (TextSpan | undefined)[] {
  const places = [...text.matchAll(/\d[\d,]*(?:\.\d+)?|\.\d+/g)].map((match) => {
    const written = match[0].replace(/,+$/, "");
    const span: TextSpan = [match.index, match.index + written.length];
    return { span, value: Number(written.replaceAll(",", "")) };
  });
  const order = from === "last" ? places.reverse() : places;
  const wanted = from === "last" ? [...numbers].reverse() : numbers;
  const spans = wanted.map((number) => {
    const at = order.findIndex(({ value }) => value === number);
    return at < 0 ? undefined : order.splice(at, 1)[0]?.span;
  });
  return from === "last" ? spans.reverse() : spans;
}

const attempts = 40;

/**
 * The prompt with another number of as many digits in one operand's place, and its answer: whole and
 * not negative where the problem's is. The draws follow from seed and id.
 */
export function otherNumbers(
  { prompt, id }: Pick<Problem, "prompt" | "id">,
  equation: Equation,
  spans: readonly (TextSpan | undefined)[],
  seed: number,
): { prompt: string; answer: string }[] {
  const own = equation.solve(equation.numbers);
  const movable = [...spans.keys()].filter((i) => spans[i]);
  if (movable.length === 0) return [];
  const found = new Map<string, { prompt: string; answer: string }>();
  for (let attempt = 0; attempt < attempts; ++attempt) {
    const i = movable[hash(seed, "operand", id, attempt) % movable.length] as number;
    const old = equation.numbers[i] as number;
    // As many digits before and behind the point.
    const [whole = "", fraction = ""] = String(old).split(".");
    const written = Number(whole + fraction);
    const digits = (whole + fraction).length;
    // Of long numbers, years above all, the last two digits change.
    const kept = digits > 3 ? written - (written % 100) : 0;
    const [least, most] = kept > 0 ? [kept, kept + 100] : [10 ** (digits - 1), 10 ** digits];
    const drawn = least + hashBelow(most - least, seed, "value", id, attempt);
    const value = drawn / 10 ** fraction.length;
    const answer = equation.solve(equation.numbers.with(i, value));
    if (value === old || answer === own || (isWhole(own) && !isWhole(answer))) continue;
    const text = writeNumber(answer);
    if (text === undefined || answer < 0) continue;
    const [start, stop] = spans[i] as TextSpan;
    const changed = prompt.slice(0, start) + value.toFixed(fraction.length) + prompt.slice(stop);
    found.set(changed, { prompt: changed, answer: text });
  }
  return [...found.values()];
}

function isWhole(value: number): boolean {
  return Math.abs(value - Math.round(value)) < 1e-9;
}

/** `operand1`, `operand2`, ... */
export function operandRoles(spans: readonly (TextSpan | undefined)[]): Record<string, TextSpan> {
  return Object.fromEntries(
    spans.flatMap((span, i) => (span ? [[`operand${i + 1}`, span] as const] : [])),
  );
}
