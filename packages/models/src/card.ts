/**
 * A task card: what a bundled model can be asked, as data. The generators in keyheads/tasks read
 * it, and the report takes from it what the prompt looks like and which claims cannot be tested.
 */
import type { ClaimId } from "./claims.ts";
import type { HeldOutRule } from "./held-out.ts";

export interface TaskCard {
  readonly title: string;
  readonly summary: string;
  /** One line in which a newcomer sees a prompt and its answer. */
  readonly promptForm: string;
  /** Length of an answer, in words. */
  readonly answer: string;
  readonly roles: readonly RoleCard[];
  readonly splits: SplitCard;
  /** The task that `run` takes when none is named. */
  readonly defaultTask: string;
  /** Sums of zero-padded digits without an operator. */
  readonly digits?: DigitsCard;
  /** Operations in words and symbols. */
  readonly arithmetic?: ArithmeticCard;
  /** Tasks that are no arithmetic: a word of the prompt is the answer. */
  readonly words?: readonly WordTask[];
  /** Neutral text: next-token accuracy and loss. */
  readonly text?: TextCard;
  /** What this model does not have, and which claims cannot be tested for that reason. */
  readonly missing: readonly MissingCard[];
  readonly notes: readonly string[];
}

/** A role of tokens; `spans` are the names under which items carry its parts. */
export interface RoleCard {
  readonly name: string;
  readonly title: string;
  readonly spans: readonly string[];
}

/** Shares of the clusters; all items of a cluster are in the same split. */
export interface SplitCard {
  readonly discover: number;
  readonly dev: number;
  readonly test: number;
  /** What a cluster is. */
  readonly by: string;
}

export interface MissingCard {
  readonly what: string;
  readonly why: string;
  readonly claims: readonly ClaimId[];
}

/** Whether the two digits of a column add to nine: then a carry from the right passes through. */
export type ColumnRule = "nine" | "not-nine";

/** A set of operand pairs; a column without a rule may hold any digits. */
export interface DigitClass {
  readonly name: string;
  readonly title: string;
  readonly hundreds?: ColumnRule;
  readonly tens?: ColumnRule;
  readonly pairs: number;
}

/**
 * How X_c differs from X_r. The earlier answer digits are always those of X_c's own sum.
 * - flip-ones-carry: the ones digits are redrawn so that the carry out of them flips
 * - flip-tens-carry: the tens digits are redrawn so that the carry out of them flips
 * - redraw-ones: other ones digits with the same carry and another ones digit of the sum
 * - other-prompt: another pair of the class with another measured digit
 */
export type DigitCounterfactual =
  | "flip-ones-carry"
  | "flip-tens-carry"
  | "redraw-ones"
  | "other-prompt";

/** One measured digit on one class of pairs. */
export interface DigitQuestion {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly class: string;
  /** Which answer digit is measured, 0 being the first; the earlier ones are teacher-forced. */
  readonly digit: number;
  readonly counterfactual: DigitCounterfactual;
  /** answer: right means the whole answer; digit: the measured digit alone. */
  readonly scored: "answer" | "digit";
  readonly part: "task" | "control";
  /** The question that this control goes with best. */
  readonly control?: string;
}

export interface DigitsCard {
  readonly operandDigits: 3;
  readonly answerDigits: 4;
  readonly classes: readonly DigitClass[];
  readonly questions: readonly DigitQuestion[];
}

export type Operation = "add" | "sub" | "mul" | "div";
export type Style = "equation" | "statement" | "question" | "story";

/** Wording of a prompt in the syntax of docs/tasks.md. */
export interface TemplateCard {
  readonly operation: Operation;
  readonly style: Style;
  /** The same form of another operation has the same name. */
  readonly name: string;
  readonly text: string;
}

/**
 * How X_c differs from X_r.
 * - null-operator: the operator is a word or sign that says nothing; there is no C'
 * - operands: other operands, other answer, same wording
 * - operator: another operation in the same wording, other answer
 * - digit: one digit of one operand, other answer
 * - prompt: another prompt of the task with another answer; lengths may differ
 */
export type ArithmeticCounterfactual =
  | "null-operator"
  | "operands"
  | "operator"
  | "digit"
  | "prompt";

export interface ArithmeticCard {
  readonly operations: readonly Operation[];
  /** Operands are in [min, max]; of a division, divisor and result are. */
  readonly operands: { readonly min: number; readonly max: number };
  /** Of products and exact quotients, the smaller factor is at most this. */
  readonly smallerFactor: number;
  /** No number of a prompt or answer is larger. */
  readonly largest: number;
  readonly templates: readonly TemplateCard[];
  readonly counterfactual: ArithmeticCounterfactual;
  /** Words for slots such as {N}. */
  readonly slots: Readonly<Record<string, readonly string[]>>;
  /** Ordered pairs that training left out, by operation. */
  readonly heldOut: Readonly<Record<Operation, readonly (readonly [a: number, b: number])[]>>;
  /** For a model that `keyheads pretrain` trained: what its training left out. */
  readonly training?: TrainingCard;
  /** Accuracies known beforehand, for the reader. */
  readonly known: string;
}

/** What the training data of an arithmetic model left out. */
export interface TrainingCard {
  readonly rule: HeldOutRule;
  /** Names of templates, of all operations. */
  readonly withheldWordings: readonly string[];
  /** Wordings whose operator words training never had; they are no part of `templates`. */
  readonly unfamiliar: readonly TemplateCard[];
}

/**
 * A task whose answer is a word that the prompt decides. Drawn slots get words of their lists
 * without repetition; a case then fills the remaining slots and says what the answer is. X_c is
 * the same draw under another case with another answer.
 */
export interface WordTask {
  readonly name: string;
  readonly title: string;
  /** Up to the answer and without the space before it. Every slot is a role of that name. */
  readonly template: string;
  readonly lists: Readonly<Record<string, readonly string[]>>;
  /** Slots whose words, in any order, name the cluster. */
  readonly cluster: readonly string[];
  /** Drawn slots and the list that each is drawn from. */
  readonly draw: Readonly<Record<string, string>>;
  readonly cases: readonly WordCase[];
  /** Accuracy known beforehand, for the reader. */
  readonly known: string;
}
export type Filler = { readonly slot: string } | { readonly word: string };
export interface WordCase {
  readonly fill: Readonly<Record<string, Filler>>;
  readonly answer: Filler;
}

export interface TextCard {
  readonly title: string;
  /** File name in packages/models/texts. */
  readonly file: string;
  readonly licence: string;
}
