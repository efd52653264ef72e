import { KeyheadsError } from "../errors.ts";
import { show } from "./show.ts";

/** Typed access to config.json that remembers which keys were read. null is the same as absent. */
export class ConfigReader {
  readonly #config: Readonly<Record<string, unknown>>;
  readonly #path: string;
  readonly #read = new Set<string>();

  constructor(config: Readonly<Record<string, unknown>>, path: string) {
    this.#config = config;
    this.#path = path;
  }

  has(key: string): boolean {
    this.#read.add(key);
    return this.#config[key] !== undefined && this.#config[key] !== null;
  }

  value(key: string): unknown {
    this.#read.add(key);
    return this.#config[key];
  }

  /** The key is there and null, which switches off what is on by default. */
  isNull(key: string): boolean {
    return this.value(key) === null;
  }

  number(key: string): number {
    const value = this.value(key);
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw this.error(`${key} is ${show(value)}, expected a number`);
  }

  flag(key: string, absent: boolean): boolean {
    if (!this.has(key)) return absent;
    const value = this.value(key);
    if (typeof value === "boolean") return value;
    throw this.error(`${key} is ${show(value)}, expected true or false`);
  }

  object(key: string): Readonly<Record<string, unknown>> | undefined {
    if (!this.has(key)) return undefined;
    const value = this.value(key);
    if (typeof value === "object" && !Array.isArray(value)) return value as Record<string, unknown>;
    throw this.error(`${key} is ${show(value)}, expected an object`);
  }

  divide(of: string, by: string, down = false): number {
    const quotient = this.number(of) / this.number(by);
    if (down) return Math.floor(quotient);
    if (Number.isInteger(quotient)) return quotient;
    throw this.error(`${of} ${this.number(of)} is not a multiple of ${by} ${this.number(by)}`);
  }

  /** Keys with a value that nothing has asked for. */
  unread(): string[] {
    return Object.keys(this.#config).filter(
      (key) => !this.#read.has(key) && this.#config[key] !== null,
    );
  }

  error(what: string): KeyheadsError {
    return new KeyheadsError("BAD_CHECKPOINT", `${this.#path}: ${what}`);
  }
}
