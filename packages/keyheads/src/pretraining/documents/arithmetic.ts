// Arithmetic in the wordings of a card, without the facts and wordings that its rule leaves out; and
// the same prompts with an operator that says nothing.
import { type ArithmeticCard, heldOutKind, type Operation } from "@keyheads/models";
import { KeyheadsError } from "../../errors.ts";
import type { Rng } from "../../statistics/rng.ts";
import { nullSigns, nullWords } from "../../tasks/arithmetic.ts";
import { enumerateFacts, type Fact, unpack } from "../../tasks/facts.ts";
import { type Part, parseTemplate, type Template } from "../../tasks/template.ts";
import { answer, type Document, given, type Piece, plain, type Source } from "./document.ts";

interface Wording {
  readonly template: Template;
  /** What follows the answer, with slots. */
  readonly tail: string;
}

interface Trained {
  readonly facts: readonly number[];
  readonly wordings: readonly Wording[];
}

/** What of a card is trained. */
export interface TrainedArithmetic {
  readonly card: ArithmeticCard;
  readonly operations: ReadonlyMap<Operation, Trained>;
  /** Of the problems; they add to 1. */
  readonly shares: Readonly<Record<Operation, number>>;
}

/** Throws BAD_ARGUMENT for a card that does not say what its training leaves out. */
export function trainedArithmetic(
  card: ArithmeticCard,
  shares: TrainedArithmetic["shares"],
): TrainedArithmetic {
  const { training, operands, smallerFactor, largest } = card;
  if (!training) {
    throw new KeyheadsError("BAD_ARGUMENT", "the card does not say what its training leaves out");
  }
  // Every number is one token here: a tokenizer of this model makes it so.
  const singles = new Set(Array.from({ length: largest + 1 }, (_, n) => n));
  const fit = {
    layout: "separate",
    singles,
    upTo: largest,
    digitwise: false,
    negatives: false,
  } as const;
  const limits = { ...operands, largest, smallestFactor: 0, smallerFactor };
  const trained = new Map(
    card.operations.map((operation): [Operation, Trained] => {
      const facts = enumerateFacts(operation, limits, fit).filter((packed) => {
        const { a, b, c } = unpack(operation, packed);
        return heldOutKind(training.rule, operation, a, b, c) === undefined;
      });
      const wordings = card.templates
        .filter((t) => t.operation === operation && !training.withheldWordings.includes(t.name))
        .map((t) => ({ template: parseTemplate(t), tail: tailOf(t.text) }));
      return [operation, { facts, wordings }];
    }),
  );
  return { card, operations: trained, shares };
}

/** Problems with their answers: of an operation, all wordings and all facts are equally likely. */
export function arithmeticDocuments(trained: TrainedArithmetic): Source {
  return (random) => {
    const { fact, wording, slots } = drawProblem(trained, random);
    return [
      ...prompt(wording.template, fact, slots),
      plain(wording.template.separator),
      answer(fact.c),
      plain(`${fillSlots(wording.tail, slots)}\n`),
    ];
  };
}

/** The same prompts with a null operator; what follows is one of the operands. */
export function nullOperatorDocuments(trained: TrainedArithmetic): Source {
  return (random) => {
    const { fact, wording, slots } = drawProblem(trained, random, (t) => !!t.operator);
    const { operator = "", separator } = wording.template;
    const list = /\p{L}/u.test(operator) ? nullWords : nullSigns;
    const nothing = list[random.int(list.length)] as string;
    return [
      ...prompt(wording.template, fact, slots, nothing),
      plain(separator),
      given(random.int(2) === 0 ? fact.a : fact.b),
      plain("\n"),
    ];
  };
}

function drawProblem(
  { card, operations, shares }: TrainedArithmetic,
  random: Rng,
  usable: (template: Template) => boolean = () => true,
) {
  const operation = drawOperation(shares, random);
  const { facts, wordings } = operations.get(operation) as Trained;
  const wording = pick(
    wordings.filter(({ template }) => usable(template)),
    random,
  );
  const slots: Record<string, string> = {};
  for (const name of wording.template.slots) slots[name] ??= pick(card.slots[name] ?? [], random);
  return { fact: unpack(operation, pick(facts, random)), wording, slots };
}

function drawOperation(shares: TrainedArithmetic["shares"], random: Rng): Operation {
  const all = Object.entries(shares) as [Operation, number][];
  let point = random.next();
  for (const [operation, share] of all) {
    point -= share;
    if (point < 0) return operation;
  }
  return (all.at(-1) as [Operation, number])[0];
}

function prompt(
  template: Template,
  { a, b }: Fact,
  slots: Readonly<Record<string, string>>,
  operator?: string,
): Document {
  const seen = new Set<string>();
  return template.parts.map((part: Part): Piece => {
    if (part.kind === "a") return given(a);
    if (part.kind === "b") return given(b);
    if (part.kind === "operator") return plain(operator ?? part.text);
    if (part.kind !== "slot") return plain(part.text);
    // A name that stands there a second time can be known.
    const kind = seen.has(part.name) ? "plain" : "given";
    seen.add(part.name);
    return { text: slots[part.name] as string, kind };
  });
}

const tailOf = (text: string) => (text.includes("{c}") ? (text.split("{c}")[1] as string) : "");

const fillSlots = (text: string, slots: Readonly<Record<string, string>>) =>
  text.replace(/\{(\w+)\}/g, (_, name: string) => slots[name] ?? "");

export function pick<T>(list: readonly T[], random: Rng): T {
  return list[random.int(list.length)] as T;
}
