/**
 * The kinds of values that options take. Each accepts the text of a flag and the JSON value of a
 * config file alike, and says in its message what was given and what is allowed.
 */
import { z } from "zod";

const raw = z.union([z.string(), z.number(), z.boolean(), z.array(z.unknown())]);
type Raw = z.infer<typeof raw>;

/** `parse` returns undefined for what is not allowed. */
export function value<T>(allowed: string, parse: (given: Raw) => T | undefined) {
  return raw.transform((given, context) => {
    const parsed = parse(given);
    if (parsed !== undefined) return parsed;
    context.issues.push({
      code: "custom",
      input: given,
      message: `expected ${allowed}, but got ${JSON.stringify(given)}`,
    });
    return z.NEVER;
  });
}

export const text = () =>
  value("some text", (given) =>
    typeof given === "string" && given.length > 0 ? given : undefined,
  );

/** Text or, in a config file, a list of texts; they are joined with commas. */
export const list = (allowed: string) =>
  value(allowed, (given) => {
    const joined = Array.isArray(given) ? given.map(String).join(",") : String(given);
    return joined.trim() === "" ? undefined : joined;
  });

/** A repeated option, or a list in a config file. */
export const texts = (allowed: string) =>
  value(allowed, (given) => {
    const all = Array.isArray(given) ? given : [given];
    return all.every((one): one is string => typeof one === "string" && one !== "")
      ? all
      : undefined;
  });

export const flag = () =>
  value("true or false", (given) => (typeof given === "boolean" ? given : undefined));

export function choice<const C extends readonly [string, ...string[]]>(...choices: C) {
  return value(oneOf(choices), (given) => choices.find((one) => one === given) as C[number]);
}

/** Several of these, with commas between them or, in a config file, as a list. */
export function choices<const C extends readonly [string, ...string[]]>(...all: C) {
  return value(`a list of ${all.join(", ")}`, (given) => {
    const parts = partsOf(given);
    return parts.every((part): part is C[number] => all.includes(part)) ? parts : undefined;
  });
}

/** Several numbers, likewise. */
export function numbers(range: Range = {}) {
  return value("a list of numbers", (given) => {
    const parsed = partsOf(given).map((part) => number(range).safeParse(part));
    return parsed.every(({ success }) => success)
      ? parsed.map(({ data }) => data as number)
      : undefined;
  });
}

function partsOf(given: Raw): string[] {
  return (Array.isArray(given) ? given.map(String) : String(given).split(",")).map((part) =>
    part.trim(),
  );
}

export function integer(minimum: number, maximum = Number.MAX_SAFE_INTEGER) {
  const upTo = maximum === Number.MAX_SAFE_INTEGER ? "" : ` and at most ${maximum}`;
  return value(`a whole number of at least ${minimum}${upTo}`, (given) => {
    const number = toNumber(given);
    return Number.isSafeInteger(number) && number >= minimum && number <= maximum
      ? number
      : undefined;
  });
}

interface Range {
  readonly min?: number;
  readonly above?: number;
  readonly max?: number;
  readonly below?: number;
}

export function number(range: Range = {}) {
  const { min, above, max, below } = range;
  const limits = [
    min === undefined ? "" : `at least ${min}`,
    above === undefined ? "" : `above ${above}`,
    max === undefined ? "" : `at most ${max}`,
    below === undefined ? "" : `below ${below}`,
  ].filter((limit) => limit !== "");
  const allowed = limits.length > 0 ? `a number ${limits.join(" and ")}` : "a number";
  return value(allowed, (given) => {
    const x = toNumber(given);
    const fits =
      Number.isFinite(x) &&
      (min === undefined || x >= min) &&
      (above === undefined || x > above) &&
      (max === undefined || x <= max) &&
      (below === undefined || x < below);
    return fits ? x : undefined;
  });
}

const units: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** 2000000, 512MB, 8GiB, 8G; 0 where `zero` allows it. */
export const bytes = ({ zero = false } = {}) =>
  value(`a number of bytes${zero ? "" : " above 0"}, such as 8GiB, 512MB or 2000000`, (given) => {
    const match = /^([\d.]+)\s*([a-z]*)$/i.exec(String(given).trim());
    const unit = units[match?.[2]?.toLowerCase() ?? ""];
    const amount = Math.floor(Number(match?.[1]) * (unit ?? Number.NaN));
    return (amount > 0 || (zero && amount === 0)) && Number.isSafeInteger(amount)
      ? amount
      : undefined;
  });

function toNumber(given: Raw): number {
  if (typeof given === "number") return given;
  return typeof given === "string" && given.trim() !== "" ? Number(given) : Number.NaN;
}

function oneOf(choices: readonly string[]): string {
  return choices.length === 1 ? `${choices[0]}` : `one of ${choices.join(", ")}`;
}
