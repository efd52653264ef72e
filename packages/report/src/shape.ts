/**
 * Just enough of a schema language to say where a results file is not what it should be. Unknown
 * fields pass: files of later versions add some. Numbers may be null, which is how JSON writes NaN.
 */
export type Check = (value: unknown, path: string) => string | undefined;

function kind(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (value === undefined) return "nothing";
  const name = typeof value;
  return name === "object" ? "an object" : `${name} ${JSON.stringify(value)?.slice(0, 40) ?? ""}`;
}

function expected(what: string, test: (value: unknown) => boolean): Check {
  return (value, path) =>
    test(value) ? undefined : `${path}: expected ${what}, got ${kind(value).trim()}`;
}

export const text = expected("a string", (v) => typeof v === "string");
export const flag = expected("true or false", (v) => typeof v === "boolean");
export const numeric = expected("a number or null", (v) => v === null || typeof v === "number");

export function oneOf(...names: readonly string[]): Check {
  return expected(names.map((n) => JSON.stringify(n)).join(" or "), (v) =>
    names.includes(v as string),
  );
}

export function optional(check: Check): Check {
  return (value, path) => (value === undefined || value === null ? undefined : check(value, path));
}

export function arrayOf(check: Check): Check {
  return (value, path) => {
    if (!Array.isArray(value)) return `${path}: expected an array, got ${kind(value)}`;
    return first(value, (item, i) => check(item, `${path}[${i}]`));
  };
}

export function recordOf(check: Check): Check {
  return (value, path) => {
    if (!isObject(value)) return `${path}: expected an object, got ${kind(value)}`;
    return first(Object.entries(value), ([key, item]) => check(item, `${path}.${key}`));
  };
}

export function object(fields: Readonly<Record<string, Check>>): Check {
  return (value, path) => {
    if (!isObject(value)) return `${path || "the file"}: expected an object, got ${kind(value)}`;
    return first(Object.entries(fields), ([key, check]) =>
      check(value[key], path ? `${path}.${key}` : key),
    );
  };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function first<T>(items: readonly T[], check: (item: T, i: number) => string | undefined) {
  for (const [i, item] of items.entries()) {
    const problem = check(item, i);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
