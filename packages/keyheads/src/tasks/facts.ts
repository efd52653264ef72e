/**
 * Operand facts a op b = c, enumerated before anything is drawn, so that a sample is uniform over
 * what the model can be asked. One number a fact: a * 10,000 + b.
 */
import type { Operation } from "@keyheads/models";
import type { NumberFit } from "./fit.ts";

export interface Fact {
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

export interface FactLimits {
  /** Of operands; of a division, of divisor and quotient. */
  readonly min: number;
  readonly max: number;
  /** No number is larger. */
  readonly largest: number;
  /** Factors (divisor and quotient) are at least this: times 0 or 1 is no calculation. */
  readonly smallestFactor?: number;
  /** The smaller of two factors (or of divisor and quotient) is at most this. */
  readonly smallerFactor?: number;
}

/** What the tokenizer allows: LLaMA-2 style operands 1..9, Llama-3 style 0..999. */
export function limitsOf(fit: NumberFit): FactLimits {
  // One-digit products are so few that those with 1 are needed.
  if (fit.digitwise) return { min: 1, max: 9, largest: 9 };
  return { min: 0, max: Math.min(fit.upTo, 999), largest: 999, smallestFactor: 2 };
}

/** a op b, or undefined where it is no whole number. */
export function result(operation: Operation, a: number, b: number): number | undefined {
  if (operation === "add") return a + b;
  if (operation === "sub") return a - b;
  if (operation === "mul") return a * b;
  return b !== 0 && a % b === 0 ? a / b : undefined;
}

/** The answer of a fact if it keeps the limits and is one token. */
export function answerOf(
  operation: Operation,
  a: number,
  b: number,
  limits: FactLimits,
  fit: NumberFit,
): number | undefined {
  const c = result(operation, a, b);
  if (c === undefined || !fit.singles.has(c)) return undefined;
  if (Math.max(a, b, c) > limits.largest) return undefined;
  const inside = (x: number) => x >= limits.min && x <= limits.max;
  if (!inside(b) || !inside(operation === "div" ? c : a)) return undefined;
  const factors = operation === "mul" ? [a, b] : operation === "div" ? [b, c] : [];
  if (factors.length === 0) return c;
  const smaller = Math.min(...factors);
  const { smallestFactor = 0, smallerFactor = Number.POSITIVE_INFINITY } = limits;
  return smaller >= smallestFactor && smaller <= smallerFactor ? c : undefined;
}

export function unpack(operation: Operation, packed: number): Fact {
  const a = Math.floor(packed / 10_000);
  const b = packed % 10_000;
  return { a, b, c: result(operation, a, b) as number };
}

/** All facts within the limits, packed. */
export function enumerateFacts(
  operation: Operation,
  limits: FactLimits,
  fit: NumberFit,
  only: (a: number, b: number) => boolean = () => true,
): number[] {
  const facts: number[] = [];
  for (let b = limits.min; b <= limits.max; ++b) {
    for (let x = limits.min; x <= limits.max; ++x) {
      const a = operation === "div" ? x * b : x;
      if (answerOf(operation, a, b, limits, fit) !== undefined && only(a, b)) {
        facts.push(a * 10_000 + b);
      }
    }
  }
  return facts;
}

/** The unordered fact: 3 + 4 = 7, 4 + 3 = 7 and 7 - 3 = 4 are one cluster. */
export function factCluster({ a, b, c }: Fact): string {
  return [a, b, c].sort((x, y) => x - y).join(",");
}
