// Two tasks with published circuits: indirect object identification (Wang et al. 2022) and
// greater-than (Hanna et al. 2023), from the pairs of EAP-IG or, for the former, from templates.
import { z } from "zod";
import { hashBelow } from "../hash.ts";
import { bad } from "../line.ts";
import { parseCsv } from "./csv.ts";
import type { Problem, TextSpan } from "./problem.ts";

export type IoiCounterfactual = "swap" | "other-name";

/**
 * "Then, Aaron and Amber were working at the house. Aaron decided to give a drink to": C is the name
 * that occurs once, C' the one that occurs twice. X_c with `swap`: the second subject is the other
 * name, so that C' is right; with `other-name` it is a third name, and C' is only what C is
 * compared with.
 */
export function readIoi(
  text: string,
  options: { kind: IoiCounterfactual; count: number; seed: number },
): (() => Problem)[] {
  return text.trimStart().startsWith("{") ? fromTemplates(text, options) : fromPairs(text, options);
}

function fromPairs(text: string, { kind }: { kind: IoiCounterfactual }): (() => Problem)[] {
  return parseCsv(text).map((row, i) => () => {
    const corrupted = kind === "swap" ? row.corrupted_hard : row.corrupted;
    if (!row.clean || !corrupted) throw bad("no columns clean, corrupted and corrupted_hard");
    return ioiProblem(`ioi-${i + 1}`, "pairs", row.clean, corrupted);
  });
}

function ioiProblem(id: string, template: string, prompt: string, corrupted: string): Problem {
  const [, first, second] = /\b([A-Z]\w+) and ([A-Z]\w+)\b/.exec(prompt) ?? [];
  if (first === undefined || second === undefined) throw bad("no two names joined by and");
  const places = (name: string) => [...prompt.matchAll(new RegExp(`\\b${name}\\b`, "g"))];
  const subject = places(first).length === 2 ? first : second;
  const object = subject === first ? second : first;
  const span = ({ index }: { index: number }, name: string): TextSpan => [
    index,
    index + name.length,
  ];
  const [subject1, subject2] = places(subject);
  const [only, ...more] = places(object);
  if (!subject1 || !subject2 || !only || more.length > 0) {
    throw bad(`expected one of ${first} and ${second} twice and the other once`);
  }
  return {
    ...{ id, group: "ioi", template, cluster: [first, second].sort().join(",") },
    ...{ prompt, separator: " ", answer: object },
    roles: {
      indirect_object: span(only, object),
      subject1: span(subject1, subject),
      subject2: span(subject2, subject),
    },
    counterfactuals: [{ prompt: corrupted, answer: subject }],
  };
}

const words = z.array(z.string()).min(2);
const templates = z.looseObject({
  data: z.looseObject({
    NAMES: words.min(3),
    PLACES: words,
    OBJECTS: words,
    BABA_TEMPLATES: z.array(z.string()).min(1),
  }),
});

function fromTemplates(
  text: string,
  { kind, count, seed }: { kind: IoiCounterfactual; count: number; seed: number },
): (() => Problem)[] {
  const parsed = templates.safeParse(parseJson(text));
  if (!parsed.success) throw bad("no templates: NAMES, PLACES, OBJECTS and BABA_TEMPLATES of data");
  const { NAMES, PLACES, OBJECTS, BABA_TEMPLATES } = parsed.data.data;
  return Array.from({ length: count }, (_, i) => () => {
    const draw = <T>(list: readonly T[], what: string, attempt = 0) =>
      list[hashBelow(list.length, seed, what, i, attempt)] as T;
    const [a, b, c] = threeOf(NAMES, (attempt) => draw(NAMES, "name", attempt));
    const order = hashBelow(2, seed, "order", i) === 0 ? "BABA" : "ABBA";
    const number = i % BABA_TEMPLATES.length;
    const template = BABA_TEMPLATES[number] as string;
    const shape = order === "BABA" ? template : swapFirst(template);
    const filled = (second: string) => {
      let seen = 0;
      return shape
        .replace(/ \[A\]$/, "")
        .replace("[PLACE]", draw(PLACES, "place"))
        .replace("[OBJECT]", draw(OBJECTS, "object"))
        .replaceAll("[A]", a)
        .replaceAll("[B]", () => (++seen === 2 ? second : b));
    };
    const other = kind === "swap" ? a : c;
    return ioiProblem(`ioi-${i + 1}`, `${order}-${number}`, filled(b), filled(other));
  });
}

/** "[B] and [A]" at the beginning becomes "[A] and [B]". */
function swapFirst(template: string): string {
  return template.replace("[B]", "[1]").replace("[A]", "[B]").replace("[1]", "[A]");
}

function threeOf(names: readonly string[], draw: (attempt: number) => string) {
  const found: string[] = [];
  for (let attempt = 0; found.length < 3; ++attempt) {
    // A list of few names may not have them all among many draws.
    const name = attempt < 100 ? draw(attempt) : (names[attempt - 100] as string);
    if (!found.includes(name)) found.push(name);
  }
  return found as [string, string, string];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw bad(`not JSON: ${(cause as Error).message}`);
  }
}

/**
 * "The contract lasted from the year 1352 to the year 13": years after 52 are right. C is the year
 * in the middle of those, C' the one in the middle of those before; X_c begins in 1301, after which
 * both are right.
 */
export function readGreaterThan(text: string): (() => Problem)[] {
  return parseCsv(text).map((row, i) => () => {
    const { clean, corrupted } = row;
    const year = Number(row.label);
    if (!clean || !corrupted || !Number.isInteger(year)) {
      throw bad("no columns clean, corrupted and label");
    }
    if (year < 4 || year > 97) throw bad(`from ${year} on there is no room on both sides`);
    const written = /\b\d\d(\d\d)\b/.exec(clean);
    if (!written) throw bad("no year of four digits");
    const at = written.index + 2;
    const noun = /^The (\w+)/.exec(clean)?.[1] ?? "";
    return {
      ...{ id: `greater-than-${i + 1}`, group: "greater-than", template: "greater-than" },
      ...{ cluster: noun, prompt: clean, separator: "" as const },
      answer: twoDigits(Math.ceil((year + 99) / 2)),
      roles: { century: [written.index, at], start_year: [at, at + 2] },
      counterfactuals: [{ prompt: corrupted, answer: twoDigits(Math.floor((year + 2) / 2)) }],
    };
  });
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0");
}
