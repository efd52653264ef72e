/**
 * What the tokenizer makes of numbers: whether the space before an answer is glued to it or a token
 * of its own, and which numbers are single tokens there. LLaMA-2 has digits only, Llama-3 all of
 * 0..999, GPT-2 an irregular set. Every item is still checked by itself.
 */
import { KeyheadsError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/types.ts";

/**
 * Where the separating space goes. glued: "=" then " 7". separate: "= " then "7".
 * bare: no space, or a tokenizer that drops it.
 */
export type Layout = "glued" | "separate" | "bare";

export interface NumberFit {
  readonly layout: Layout;
  /** Numbers that are one token as an answer. */
  readonly singles: ReadonlySet<number>;
  /** 0 to this are all single tokens. */
  readonly upTo: number;
  /** Numbers are split into digits. */
  readonly digitwise: boolean;
  readonly negatives: boolean;
}

const fits = new WeakMap<Tokenizer, Map<string, NumberFit>>();
const probe = "1 + 1 =";

/** Looks once a tokenizer and separator. Throws BAD_ARGUMENT if no number is a single token. */
export function fitNumbers(tokenizer: Tokenizer, separator: "" | " " = " "): NumberFit {
  const known = fits.get(tokenizer) ?? new Map<string, NumberFit>();
  fits.set(tokenizer, known);
  const fit = known.get(separator) ?? measure(tokenizer, separator);
  known.set(separator, fit);
  return fit;
}

/** Moves the separating space to where the tokenizer wants it. */
export function place(
  layout: Layout,
  prompt: string,
  answer: string,
): { prompt: string; answer: string } {
  if (layout === "glued") return { prompt, answer: ` ${answer}` };
  return { prompt: layout === "separate" ? `${prompt} ` : prompt, answer };
}

function measure(tokenizer: Tokenizer, separator: "" | " "): NumberFit {
  const layout = chooseLayout(tokenizer, separator);
  const singles = new Set<number>();
  const add = (from: number, to: number) => {
    let found = 0;
    for (let n = from; n <= to; ++n) {
      if (isSingle(tokenizer, layout, n)) {
        singles.add(n);
        ++found;
      }
    }
    return found > 0;
  };
  // A range without any single token has none of greater length behind it.
  const tens = add(0, 9) && add(10, 99);
  if (tens && add(100, 999)) add(1000, 1999);
  const negatives = add(-9, -1);
  if (negatives && tens) add(-999, -10);
  let upTo = -1;
  while (singles.has(upTo + 1)) ++upTo;
  return { layout, singles, upTo, digitwise: !tens, negatives };
}

function chooseLayout(tokenizer: Tokenizer, separator: "" | " "): Layout {
  const drops = encode(tokenizer, `${probe} 7`).length === encode(tokenizer, `${probe}7`).length;
  const same =
    drops && `${encode(tokenizer, `${probe} 7`)}` === `${encode(tokenizer, `${probe}7`)}`;
  const order: Layout[] = separator === "" || same ? ["bare"] : ["glued", "separate", "bare"];
  const scores = order.map((layout) => {
    let score = 0;
    for (let n = 0; n < 100; ++n) if (isSingle(tokenizer, layout, n)) ++score;
    return { layout, score };
  });
  const best = scores.reduce((a, b) => (b.layout !== "bare" && b.score > a.score ? b : a));
  const chosen = best.score > 0 ? best : (scores.at(-1) as (typeof scores)[number]);
  if (chosen.score > 0) return chosen.layout;
  throw new KeyheadsError(
    "BAD_ARGUMENT",
    `no number is a single token after ${JSON.stringify(probe)} under this tokenizer; the built-in ` +
      "arithmetic tasks cannot be asked of this model (give an items file)",
  );
}

function isSingle(tokenizer: Tokenizer, layout: Layout, n: number): boolean {
  const { prompt, answer } = place(layout, probe, String(n));
  const before = encode(tokenizer, prompt);
  const whole = encode(tokenizer, prompt + answer);
  return whole.length === before.length + 1 && before.every((id, i) => whole[i] === id);
}

/** Nothing where the vocabulary lacks a character: then no number fits. */
function encode(tokenizer: Tokenizer, text: string): number[] {
  try {
    return tokenizer.encode(text);
  } catch (error) {
    if (error instanceof KeyheadsError && error.code === "UNKNOWN_TOKEN") return [];
    throw error;
  }
}
