// Regular expressions of tokenizer.json, which are written for the Oniguruma engine, as JavaScript's
// (with the flag v, which has nested classes and intersections). What differs is rewritten; what
// has no counterpart is an error, because a pattern that is almost right gives other ids.
import type { Part } from "./part.ts";

/** The pattern of a Split or Replace: `{ Regex }` or `{ String }`; global. */
export function readPattern(part: Part): RegExp {
  if (typeof part.value === "string") return new RegExp(literals(part.value), "gv");
  const regex = part.get("Regex");
  if (regex.missing) return new RegExp(literals(part.get("String").string()), "gv");
  try {
    return compilePattern(regex.string());
  } catch (cause) {
    return regex.fail(`${JSON.stringify(regex.value)} cannot be used: ${(cause as Error).message}`);
  }
}

/** Throws where the source is no pattern, or has no equal in JavaScript. */
export function compilePattern(source: string): RegExp {
  return new RegExp(new Translator(source).translate(), "gv");
}

const letters = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
/** Outside a class, Oniguruma takes ², ³, ¹, ¼, ½ and ¾ for letters too. */
const word = `[${letters}\\u00b2\\u00b3\\u00b9\\u00bc-\\u00be]`;
const notWord = `[^${word.slice(1)}`;

/** Escapes that mean a set; \w and \\W outside a class are `word` and `notWord`. */
const sets: Readonly<Record<string, string>> = {
  d: "\\p{Nd}",
  D: "\\P{Nd}",
  s: "\\p{White_Space}",
  S: "\\P{White_Space}",
  w: `[${letters}]`,
  W: `[^${letters}]`,
  h: "[0-9A-Fa-f]",
  H: "[^0-9A-Fa-f]",
};
/** Escapes that mean a place. */
const places: Readonly<Record<string, string>> = {
  A: "^",
  z: "$",
  Z: "(?=\\n?$)",
  b: `(?:(?<=${word})(?!${word})|(?<!${word})(?=${word}))`,
  B: `(?:(?<=${word})(?=${word})|(?<!${word})(?!${word}))`,
};
/** Escapes that mean one character. */
const controls: Readonly<Record<string, number>> = {
  n: 0x0a,
  r: 0x0d,
  t: 0x09,
  f: 0x0c,
  v: 0x0b,
  a: 0x07,
  e: 0x1b,
};
const posix: Readonly<Record<string, string>> = {
  alpha: "\\p{Alphabetic}",
  alnum: "\\p{Alphabetic}\\p{Nd}",
  digit: "\\p{Nd}",
  lower: "\\p{Lowercase}",
  upper: "\\p{Uppercase}",
  space: "\\p{White_Space}",
  blank: "\\t\\p{Zs}",
  cntrl: "\\p{Cc}",
  punct: "\\p{P}\\p{S}",
  word: letters,
  xdigit: "0-9A-Fa-f",
};
/** Letters of other blocks that fold to an ASCII letter. */
const folds: Readonly<Record<string, string>> = { s: "\u017f", k: "\u212a" };

interface Flags {
  readonly ignoreCase: boolean;
  readonly dotAll: boolean;
}

class Translator {
  readonly #source: readonly string[];
  #at = 0;
  #atoms = 0;

  constructor(source: string) {
    this.#source = [...source];
  }

  translate(): string {
    const result = this.#alternatives({ ignoreCase: false, dotAll: false }, 0);
    if (this.#at < this.#source.length) this.#fail('")" without "("');
    return result;
  }

  #fail(message: string): never {
    throw new Error(`${message} at character ${this.#at}`);
  }
  #peek(text: string): boolean {
    return [...text].every((character, i) => this.#source[this.#at + i] === character);
  }
  #take(text: string): boolean {
    if (!this.#peek(text)) return false;
    this.#at += text.length;
    return true;
  }
  #next(): string {
    const character = this.#source[this.#at];
    if (character === undefined) this.#fail("it ends too early");
    ++this.#at;
    return character;
  }
  #until(end: string): string {
    let text = "";
    while (!this.#take(end)) text += this.#next();
    return text;
  }

  /** Up to the closing parenthesis, or the end. */
  #alternatives(flags: Flags, depth: number): string {
    if (depth > 100) this.#fail("groups nest deeper than 100");
    let result = "";
    while (this.#at < this.#source.length && !this.#peek(")")) {
      if (this.#take("|")) {
        result += "|";
        continue;
      }
      const isolated = this.#inlineFlags(flags);
      if (isolated) {
        // (?i) holds to the end of the group, alternatives included.
        return `${result}(?:${this.#alternatives(isolated, depth + 1)})`;
      }
      result += this.#quantified(this.#atom(flags, depth));
    }
    return result;
  }

  /** `(?i)` and the like. */
  #inlineFlags(flags: Flags): Flags | undefined {
    const rest = this.#source.slice(this.#at, this.#at + 12).join("");
    const found = /^\(\?([a-z]*)(?:-([a-z]+))?\)/.exec(rest);
    if (!found) return undefined;
    this.#at += found[0].length;
    return this.#flags(flags, found[1] ?? "", found[2] ?? "");
  }

  #flags(flags: Flags, on: string, off: string): Flags {
    const strange = [...on, ...off].find((flag) => flag !== "i" && flag !== "m");
    if (strange !== undefined) this.#fail(`the option (?${strange}) is not supported`);
    const of = (flag: string, now: boolean) => (on.includes(flag) || now) && !off.includes(flag);
    return { ignoreCase: of("i", flags.ignoreCase), dotAll: of("m", flags.dotAll) };
  }

  #atom(flags: Flags, depth: number): string {
    const character = this.#next();
    if (character === "(") return this.#group(flags, depth);
    if (character === "[") return this.#class(flags, 0);
    if (character === ".") return flags.dotAll ? "[\\s\\S]" : "[^\\n]";
    if (character === "^") return "(?:^|(?<=\\n)(?!$))";
    if (character === "$") return "(?=\\n|$)";
    if (character === "\\") return this.#escape(flags);
    if ("*+?".includes(character)) this.#fail(`nothing to repeat before "${character}"`);
    return oneOf(character, flags);
  }

  #group(flags: Flags, depth: number): string {
    const close = (open: string, inner: Flags) => {
      const body = this.#alternatives(inner, depth + 1);
      if (!this.#take(")")) this.#fail('"(" without ")"');
      return `${open}${body})`;
    };
    if (!this.#take("?")) return close("(?:", flags);
    for (const kind of [":", "=", "!", "<=", "<!"]) {
      if (this.#take(kind)) return close(`(?${kind}`, flags);
    }
    if (this.#take(">")) return this.#atomic(close("(?:", flags));
    if (this.#take("#")) {
      this.#until(")");
      return "";
    }
    if (this.#take("<") || this.#take("'")) {
      this.#until(this.#source[this.#at - 1] === "<" ? ">" : "'");
      return close("(?:", flags);
    }
    const [on = "", off = ""] = this.#until(":").split("-");
    return close("(?:", this.#flags(flags, on, off));
  }

  /** JavaScript has no atomic groups, but a lookahead never gives back what it has matched. */
  #atomic(atom: string): string {
    const name = `atom${this.#atoms++}`;
    return `(?:(?=(?<${name}>${atom}))\\k<${name}>)`;
  }

  #quantified(atom: string): string {
    let result = atom;
    for (;;) {
      const sign = ["*", "+", "?"].find((text) => this.#take(text));
      const range = sign ?? this.#range();
      if (range === undefined) return result;
      if (result === "" || result.startsWith("(?=") || result.startsWith("(?!")) {
        this.#fail("a place cannot be repeated");
      }
      const repeated = result === atom ? `${atom}${range}` : `(?:${result})${range}`;
      if (this.#take("?")) {
        if (range.startsWith("{") && !range.includes(",")) this.#fail("{n}? is not supported");
        result = `${repeated}?`;
      } else if (sign !== undefined && this.#take("+")) {
        result = this.#atomic(repeated);
      } else {
        result = repeated;
      }
    }
  }

  /** `{n}`, `{n,}`, `{n,m}`, `{,m}`; any other brace is a character. */
  #range(): string | undefined {
    const rest = this.#source.slice(this.#at, this.#at + 24).join("");
    const found = /^\{(\d*)(,?)(\d*)\}/.exec(rest);
    if (!found || (found[1] === "" && found[3] === "")) return undefined;
    this.#at += found[0].length;
    return `{${found[1] || "0"}${found[2]}${found[3]}}`;
  }

  #escape(flags: Flags): string {
    const character = this.#next();
    if (character === "w") return word;
    if (character === "W") return notWord;
    const set = sets[character] ?? places[character];
    if (set !== undefined) return set;
    if (character === "p" || character === "P") return this.#property(character === "P");
    return oneOf(this.#escaped(character), flags);
  }

  /** The character that an escape means. */
  #escaped(character: string): string {
    const control = controls[character];
    if (control !== undefined) return String.fromCharCode(control);
    if (character === "x" && this.#take("{")) return this.#codePoint(this.#until("}"));
    if (character === "x" || character === "u") {
      const digits = this.#source.slice(this.#at, this.#at + (character === "x" ? 2 : 4)).join("");
      this.#at += digits.length;
      return this.#codePoint(digits);
    }
    if (character === "0") return "\0";
    if (/[0-9A-Za-z]/.test(character)) this.#fail(`\\${character} is not supported`);
    return character;
  }

  #codePoint(digits: string): string {
    if (!/^[0-9a-fA-F]{1,6}$/.test(digits)) this.#fail(`"${digits}" is no character code`);
    return String.fromCodePoint(Number.parseInt(digits, 16));
  }

  #property(negated: boolean): string {
    if (!this.#take("{")) this.#fail("\\p without {name}");
    const not = this.#take("^");
    const name = this.#until("}");
    const sign = negated !== not ? "P" : "p";
    const lower = name.toLowerCase();
    if (lower === "word") return sign === "p" ? word : notWord;
    // \\p{Punct} has no symbols, unlike [[:punct:]].
    const simple = lower === "punct" ? "\\p{P}" : posix[lower];
    if (simple !== undefined) return sign === "p" ? `[${simple}]` : `[^${simple}]`;
    const title = name.charAt(0).toUpperCase() + name.slice(1);
    for (const form of [name, title, `Script=${name}`, `Script=${title}`]) {
      if (isPattern(`\\p{${form}}`)) return `\\${sign}{${form}}`;
    }
    return this.#fail(`the property "${name}" is not known`);
  }

  /** A class after its opening bracket. */
  #class(flags: Flags, depth: number): string {
    if (depth > 100) this.#fail("classes nest deeper than 100");
    const negated = this.#take("^");
    const operands: string[] = [];
    let members = "";
    let first = true;
    while (first || !this.#take("]")) {
      if (this.#take("&&")) {
        operands.push(`[${members}]`);
        members = "";
      } else {
        members += this.#member(flags, depth);
      }
      first = false;
    }
    if (operands.length > 0) members = [...operands, `[${members}]`].join("&&");
    return `[${negated ? "^" : ""}${members}]`;
  }

  #member(flags: Flags, depth: number): string {
    if (this.#peek("[:")) {
      const found = /^\[:(\^?)([a-z]+):\]/.exec(
        this.#source.slice(this.#at, this.#at + 14).join(""),
      );
      const set = found && posix[found[2] as string];
      if (!found || set === undefined) return this.#fail("an unknown [:class:]");
      this.#at += found[0].length;
      return `[${found[1]}${set}]`;
    }
    if (this.#take("[")) return this.#class(flags, depth + 1);
    const low = this.#classCharacter();
    if (low.set !== undefined) return low.set;
    if (!this.#peek("-") || this.#source[this.#at + 1] === "]")
      return spelled(low.character, flags);
    ++this.#at;
    if (this.#peek("[")) return this.#fail("a range cannot end in a class");
    const high = this.#classCharacter();
    if (high.set !== undefined) return this.#fail("a range cannot end in a set");
    return range(low.character, high.character, flags);
  }

  #classCharacter(): { character: string; set?: string } {
    const character = this.#next();
    if (character !== "\\") return { character };
    const escaped = this.#next();
    const set = sets[escaped];
    if (set !== undefined) return { character: "", set };
    if (escaped === "p" || escaped === "P") {
      return { character: "", set: this.#property(escaped === "P") };
    }
    return { character: escaped === "b" ? "\b" : this.#escaped(escaped) };
  }
}

const isPattern = (source: string): boolean => {
  try {
    return new RegExp(source, "v") !== undefined;
  } catch {
    return false;
  }
};

const literal = (character: string) => `\\u{${character.codePointAt(0)?.toString(16)}}`;
const literals = (text: string) => Array.from(text, literal).join("");

/** Members of a class: the character and, without regard to case, its other forms. */
function spelled(character: string, { ignoreCase }: Flags): string {
  if (!ignoreCase) return literal(character);
  const [lower, upper] = [character.toLowerCase(), character.toUpperCase()];
  const forms = new Set([character, lower, upper, folds[lower] ?? character]);
  return [...forms]
    .filter((form) => [...form].length === 1)
    .map(literal)
    .join("");
}

function oneOf(character: string, flags: Flags): string {
  const members = spelled(character, flags);
  return members === literal(character) ? members : `[${members}]`;
}

function range(low: string, high: string, flags: Flags): string {
  const span = `${literal(low)}-${literal(high)}`;
  if (!flags.ignoreCase) return span;
  const [from, to] = [low.codePointAt(0) as number, high.codePointAt(0) as number];
  if (to - from > 1000) throw new Error("a long range without regard to case");
  const characters = Array.from({ length: to - from + 1 }, (_, i) =>
    String.fromCodePoint(from + i),
  );
  return `${span}${characters.map((character) => spelled(character, flags)).join("")}`;
}
