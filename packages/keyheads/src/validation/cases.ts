// One answer token of one item, teacher-forced: the run that predicts it, and what it must be.
// The engine's sweep reads the last position of a run, so an answer of three tokens is three cases.
import { itemsOf } from "../attribution/pairs.ts";
import { KeyheadsError } from "../errors.ts";
import type { Item } from "../tasks/items.ts";
import type { Items } from "./options.ts";

export interface Case {
  /** Index of the item; its other answer tokens are other cases. */
  readonly item: number;
  readonly sequence: readonly number[];
  readonly answer: number;
  /** C', where this is the measured token. */
  readonly other: number | undefined;
  /** X_c, where this is the measured token. */
  readonly counterfactual: readonly number[] | undefined;
  /** The role of every position, "" where it has none. */
  readonly roles: readonly string[];
  readonly template: string;
  /** Which answer token this is. */
  readonly step: number;
  readonly name: string;
}

/** Throws BAD_ITEMS if there are none. */
export function casesOf(items: Items, answer: "all" | "target", role: string): Case[] {
  const list = itemsOf(items);
  if (list.length === 0) throw new KeyheadsError("BAD_ITEMS", `there are no ${role} items`);
  return list.flatMap((item, index) => {
    const steps = answer === "target" ? [item.target] : [...item.answerIds.keys()];
    return steps.map((step) => ({
      item: index,
      sequence: [...item.promptIds, ...item.answerIds.slice(0, step)],
      answer: item.answerIds[step] as number,
      other: step === item.target ? item.counterfactualAnswerId : undefined,
      counterfactual: step === item.target ? item.counterfactual : undefined,
      roles: rolesByPosition(item, item.promptIds.length + step),
      template: item.template ?? "",
      step,
      name: `${role} item ${item.id} (line ${item.line})`,
    }));
  });
}

function rolesByPosition({ roles }: Item, length: number): string[] {
  const names = new Array<string>(length).fill("");
  for (const [role, [start, stop]] of Object.entries(roles)) {
    // A position may have several roles; they are all part of what it is.
    for (let p = start; p < Math.min(stop, length); ++p) names[p] += `${role} `;
  }
  return names;
}
