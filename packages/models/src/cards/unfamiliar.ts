/**
 * Wordings whose operator words neither the training nor the withheld wording of arith has: what is
 * asked is known, how it is asked is not.
 */
import type { Operation, Style, TemplateCard } from "../card.ts";

type Wording = readonly [name: string, style: Style, text: string];

const wordings: Readonly<Record<Operation, readonly Wording[]>> = {
  add: [
    ["total", "statement", "The [total] of {a} and {b} (is)"],
    ["increased", "statement", "{a} [increased by] {b} (is)"],
    ["together", "statement", "{a} [together with] {b} (gives)"],
    ["added", "statement", "{a} [added to] {b} (comes to)"],
  ],
  sub: [
    ["decreased", "statement", "{a} [decreased by] {b} (is)"],
    ["less", "statement", "{a} [less] {b} (is)"],
    ["take-away", "statement", "{a} [take away] {b} (leaves)"],
    ["q-more", "question", "Q: How much [more] is {a} than {b}? (A:)"],
  ],
  mul: [
    ["multiplied", "statement", "{a} [multiplied by] {b} (is)"],
    ["lots", "statement", "{a} [lots of] {b} (makes)"],
    ["groups", "statement", "{a} [groups of] {b} (make)"],
    ["q-multiplied", "question", "Q: What is {a} [multiplied by] {b}? (A:)"],
  ],
  div: [
    ["over", "statement", "{a} [over] {b} (is)"],
    ["split", "statement", "{a} [split into] {b} parts (gives)"],
    ["shared", "statement", "{a} [shared by] {b} (gives)"],
    ["q-over", "question", "Q: What is {a} [over] {b}? (A:)"],
  ],
};

export const unfamiliar: readonly TemplateCard[] = Object.entries(wordings).flatMap(
  ([operation, list]) =>
    list.map(([name, style, text]) => ({ operation: operation as Operation, style, name, text })),
);
