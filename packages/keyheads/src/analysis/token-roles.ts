// Every token of the prompt gets at least one role, so that the shares of a head add up: what the
// task names, the start token apart (heads park attention there), END itself, and the rest.
import type { Item } from "../tasks/items.ts";

export interface RoleTokens {
  readonly role: string;
  readonly positions: readonly number[];
}

/**
 * Roles of one item. Position 0 is "bos" if no role covers it and it is the tokenizer's start token;
 * the last token is "end" and all others are "other" if no role covers them.
 */
export function rolesOfItem(item: Item, bosId: number | undefined): RoleTokens[] {
  const { length } = item.reference;
  const named = Object.entries(item.roles).map(([role, [start, stop]]) => ({
    role,
    positions: Array.from({ length: stop - start }, (_, i) => start + i),
  }));
  const covered = new Set(named.flatMap(({ positions }) => positions));
  const rest = new Map<string, number[]>();
  for (let p = 0; p < length; ++p) {
    if (covered.has(p)) continue;
    const isBos = p === 0 && bosId !== undefined && item.reference[0] === bosId;
    const role = isBos ? "bos" : p === length - 1 ? "end" : "other";
    rest.set(role, [...(rest.get(role) ?? []), p]);
  }
  return [...named, ...[...rest].map(([role, positions]) => ({ role, positions }))];
}
