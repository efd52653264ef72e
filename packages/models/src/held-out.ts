/**
 * What the training of a bundled model left out, as a rule instead of a list: a function of the
 * fact family, so that 3 + 4, 4 + 3, 7 - 3 and 7 - 4 are left out together or not at all.
 */
import type { Operation } from "./card.ts";

export interface HeldOutRule {
  /** Another seed leaves out other families. */
  readonly seed: number;
  /** Share of the families {a, b, c} of sums and of products. */
  readonly families: number;
  /** Share of the products c that no trained product or dividend has. */
  readonly products: number;
}

/** family: the fact's family was left out; product: no fact with this product was trained. */
export type HeldOutKind = "family" | "product";

/** Why training left out a op b = c; undefined where it was trained. */
export function heldOutKind(
  rule: HeldOutRule,
  operation: Operation,
  a: number,
  b: number,
  c: number,
): HeldOutKind | undefined {
  const additive = operation === "add" || operation === "sub";
  // The whole comes last: a + b = c and a b = c.
  const [x, y, whole] = operation === "add" || operation === "mul" ? [a, b, c] : [b, c, a];
  if (!additive && point(rule.seed, `product ${whole}`) < rule.products) return "product";
  const family = [Math.min(x, y), Math.max(x, y), whole].join(",");
  const kind = additive ? "sum" : "product of";
  return point(rule.seed, `${kind} ${family}`) < rule.families ? "family" : undefined;
}

/** A number in [0, 1) from a text: FNV-1a with the finaliser of MurmurHash3. */
function point(seed: number, text: string): number {
  let h = 0x811c9dc5 ^ seed;
  for (let i = 0; i < text.length; ++i) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
}
