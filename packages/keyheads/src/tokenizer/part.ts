// A part of a parsed JSON file that knows where it lies, so that every error can name file and part.
import { KeyheadsError } from "../errors.ts";

/** Lists within lists; beyond it a file is taken for broken. */
const deepest = 100;

export class Part {
  readonly value: unknown;
  readonly #file: string;
  readonly #path: string;
  readonly #depth: number;

  constructor(value: unknown, file: string, path = "", depth = 0) {
    this.value = value;
    this.#file = file;
    this.#path = path;
    this.#depth = depth;
  }

  /** Throws BAD_CHECKPOINT: file, part, what was found. */
  fail(message: string): never {
    const where = this.#path === "" ? "" : `${quote(this.#path)}: `;
    throw new KeyheadsError("BAD_CHECKPOINT", `${this.#file}: ${where}${message}`);
  }

  /** Absent, or null. */
  get missing(): boolean {
    return this.value === undefined || this.value === null;
  }

  get(key: string): Part {
    const path = this.#path === "" ? key : `${this.#path}.${key}`;
    return new Part(this.object()[key], this.#file, path, this.#depth);
  }

  /** The same place with another value. */
  with(value: unknown): Part {
    return new Part(value, this.#file, this.#path);
  }

  object(): Readonly<Record<string, unknown>> {
    if (typeof this.value === "object" && this.value !== null && !Array.isArray(this.value)) {
      return this.value as Readonly<Record<string, unknown>>;
    }
    return this.#expected("an object");
  }

  list(): Part[] {
    if (!Array.isArray(this.value)) return this.#expected("a list");
    const depth = this.#depth + 1;
    return this.value.map((item, i) => new Part(item, this.#file, `${this.#path}[${i}]`, depth));
  }

  string(fallback?: string): string {
    if (typeof this.value === "string") return this.value;
    return this.missing && fallback !== undefined ? fallback : this.#expected("a string");
  }

  boolean(fallback?: boolean): boolean {
    if (typeof this.value === "boolean") return this.value;
    return this.missing && fallback !== undefined ? fallback : this.#expected("true or false");
  }

  /** An integer, 0 or more. */
  count(fallback?: number): number {
    if (Number.isSafeInteger(this.value) && (this.value as number) >= 0)
      return this.value as number;
    return this.missing && fallback !== undefined ? fallback : this.#expected("an integer >= 0");
  }

  number(): number {
    return typeof this.value === "number" ? this.value : this.#expected("a number");
  }

  oneOf<T extends string>(choices: readonly T[], fallback?: T): T {
    const value = this.string(fallback);
    const found = choices.find((choice) => choice === value);
    return found ?? this.fail(`${JSON.stringify(value)}, expected one of ${choices.join(", ")}`);
  }

  /** The entry of `table` that the field `type` names. */
  pick<T>(table: Readonly<Record<string, T>>, what: string): T {
    if (this.#depth > deepest) return this.fail(`nests deeper than ${deepest}`);
    const type = this.get("type").string();
    const known = Object.keys(table);
    if (known.includes(type)) return table[type] as T;
    return this.fail(`unknown ${what} "${type}"; known are ${known.join(", ")}`);
  }

  #expected(what: string): never {
    const found = this.missing ? "is missing" : `is ${quote(JSON.stringify(this.value))}`;
    return this.fail(`${found}, expected ${what}`);
  }
}

/** At most 60 characters of a text, for messages. */
export function quote(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
