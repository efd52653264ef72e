// Equations of word problems, "( 76.0 - 25.0 )", "X = 70 - 27" or "70-x=27": which numbers they have,
// and what they come to with other numbers in their places.

export interface Equation {
  /** In the order in which they stand. */
  readonly numbers: readonly number[];
  /** The signs in it, each once, without "=". */
  readonly operators: readonly string[];
  /** The result, or the unknown's value, with these numbers instead; NaN where there is none. */
  solve(numbers: readonly number[]): number;
}

type Node = (numbers: readonly number[], unknown: number) => number;

/** undefined for what is no equation of + - * / with at most one unknown, x. */
export function parseEquation(text: string): Equation | undefined {
  const sides = text.split("=");
  if (sides.length > 2) return undefined;
  const parser = new Parser();
  const [left, right] = sides.map((side) => parser.parse(side));
  if (!left || (sides.length === 2 && !right)) return undefined;
  const { numbers, operators, unknowns } = parser;
  if (unknowns > 1 || (unknowns === 1) !== (sides.length === 2)) return undefined;
  const solve = (values: readonly number[]): number => {
    if (!right) return left(values, 0);
    const gap = (x: number) => left(values, x) - right(values, x);
    const root = gap(0) / (gap(0) - gap(1));
    // Whatever the form of the equation, what solves it is checked.
    return Math.abs(gap(root)) <= 1e-9 * Math.max(1, Math.abs(root)) ? root : inverse(gap);
  };
  return { numbers, operators: [...new Set(operators)], solve };
}

/** The root where the unknown stands in a denominator: the gap is linear in 1 / x then. */
function inverse(gap: (x: number) => number): number {
  const [one, half] = [gap(1), gap(2)];
  const root = 1 / (1 - one / (2 * (one - half)));
  return Math.abs(gap(root)) <= 1e-9 * Math.max(1, Math.abs(root)) ? root : Number.NaN;
}

/** Sums of products of numbers, unknowns and parentheses. */
class Parser {
  readonly numbers: number[] = [];
  readonly operators: string[] = [];
  unknowns = 0;
  #tokens: string[] = [];

  parse(text: string): Node | undefined {
    this.#tokens = text.match(/\d+(?:\.\d*)?%?|\.\d+|[-+*/()]|x/gi) ?? [];
    if (this.#tokens.join("") !== text.replace(/\s+/g, "")) return undefined;
    const node = this.#chain(["+", "-"], () => this.#chain(["*", "/"], () => this.#factor()));
    return this.#tokens.length === 0 ? node : undefined;
  }

  #chain(signs: readonly string[], part: () => Node | undefined): Node | undefined {
    let left = part();
    while (left && signs.includes(this.#tokens[0] as string)) {
      const sign = this.#tokens.shift() as string;
      this.operators.push(sign);
      const [before, after] = [left, part()];
      left = after && ((values, x) => apply(sign, before(values, x), after(values, x)));
    }
    return left;
  }

  #factor(): Node | undefined {
    const token = this.#tokens.shift();
    if (token === "(") {
      const inside = this.#chain(["+", "-"], () => this.#chain(["*", "/"], () => this.#factor()));
      return this.#tokens.shift() === ")" ? inside : undefined;
    }
    if (token === "x" || token === "X") {
      this.unknowns += 1;
      return (_, x) => x;
    }
    if (token === undefined || !/[\d.]/.test(token)) return undefined;
    const at = this.numbers.length;
    this.numbers.push(Number.parseFloat(token));
    const scale = token.endsWith("%") ? 0.01 : 1;
    return (values) => scale * (values[at] as number);
  }
}

function apply(sign: string, a: number, b: number): number {
  if (sign === "+") return a + b;
  if (sign === "-") return a - b;
  return sign === "*" ? a * b : a / b;
}

/** "51", "3.5"; undefined for what a short decimal does not say exactly. */
export function writeNumber(value: number): string | undefined {
  const text = String(Math.round(value * 1e6) / 1e6);
  return Number.isFinite(value) && Math.abs(Number(text) - value) < 1e-9 ? text : undefined;
}
