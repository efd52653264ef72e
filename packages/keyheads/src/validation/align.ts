// Which positions share a mean. Prompts are ragged, so "the mean at this position" needs a rule:
// template: same template, same answer token and, where all positions are replaced, same length;
// role: same template, answer token, role and distance from END, whatever the length;
// offset: same distance from END, whatever the template; none: one mean over everything.
import { KeyheadsError } from "../errors.ts";
import type { Case } from "./cases.ts";
import type { Alignment } from "./options.ts";

type Positions = "end" | "all";
const levels: readonly Alignment[] = ["template", "role", "offset", "none"];

/** The key of position `p` of a case; positions with equal keys are averaged. */
export function rowKey(one: Case, p: number, positions: Positions, align: Alignment): string {
  const { template, step, sequence, roles } = one;
  const offset = sequence.length - 1 - p;
  if (align === "none") return "";
  if (align === "offset") return String(offset);
  if (align === "role") return `${template}\n${step}\n${roles[p]}\n${offset}`;
  return positions === "end"
    ? `${template}\n${step}`
    : `${template}\n${step}\n${sequence.length}\n${p}`;
}

/** The key of whole prompts that may stand in for each other (resample). */
export function promptKey(one: Case, positions: Positions, align: Alignment): string {
  const { template, step, sequence, roles } = one;
  const length = positions === "all" ? sequence.length : 0;
  if (align === "offset" || align === "none") return String(length);
  const shape = align === "role" && positions === "all" ? roles.join() : "";
  return `${template}\n${step}\n${length}\n${shape}`;
}

/** Positions of a case that are replaced. */
export function rowsOf(one: Case, positions: Positions): number[] {
  const { length } = one.sequence;
  return positions === "end" ? [length - 1] : Array.from({ length }, (_, p) => p);
}

export interface Aligned {
  readonly align: Alignment;
  /** For the result, e.g. "300 prompts, by template (groups of 20 to 25)". */
  readonly description: string;
}

/**
 * The alignment asked for, or the finest at which every key of the evaluated cases has at least two
 * members in `over`: a mean over one prompt is the prompt itself and removes nothing. Throws
 * BAD_ITEMS, naming a case, where the alignment asked for (or every one) leaves a key with fewer.
 */
export function chooseAlignment(
  cases: readonly Case[],
  over: readonly Case[],
  asked: Alignment | undefined,
  keysOf: (one: Case, align: Alignment) => readonly string[],
): Aligned {
  let lonely: Case | undefined;
  for (const align of asked ? [asked] : levels) {
    const counts = new Map<string, number>();
    for (const one of over) {
      // A prompt counts once, however many of its positions share the key.
      for (const key of new Set(keysOf(one, align))) counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    lonely = cases.find((one) => keysOf(one, align).some((key) => (counts.get(key) ?? 0) < 2));
    if (!lonely) return { align, description: describe(over.length, align, counts) };
  }
  throw new KeyheadsError(
    "BAD_ITEMS",
    `${(lonely as Case).name}: fewer than two prompts of the set share its ${asked ?? "length"} (${(lonely as Case).sequence.length} tokens), ` +
      'so there is nothing to replace it by; add prompts, or use positions "end", another alignment or ablation "zero"',
  );
}

function describe(prompts: number, align: Alignment, counts: ReadonlyMap<string, number>): string {
  const sizes = [...counts.values()].sort((a, b) => a - b);
  const how = {
    template: "by template and position",
    role: "by template, role and distance from the end",
    offset: "by distance from the end",
    none: "over all positions together",
  }[align];
  return `${prompts} prompts, ${how} (groups of ${sizes[0]} to ${sizes.at(-1)})`;
}
