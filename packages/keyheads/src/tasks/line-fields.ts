// The fields of a line of an items file (docs/tasks.md), spelt out: a program that reads or writes
// such lines needs no other package for their types.

/** Character spans or token spans [start, stop) by role. */
export type Spans = Record<string, [number, number]>;

interface Fields {
  prompt: string;
  answer: string;
  completion: string;
  target: number;
  counterfactual: string;
  counterfactual_prefix: string;
  counterfactual_answer: string;
  roles: Spans;
  choices: string[];
  question: string;
  messages: { role: string; [field: string]: unknown }[];

  prompt_ids: number[];
  answer_ids: number[];
  answer_id: number;
  counterfactual_ids: number[];
  counterfactual_prefix_ids: number[];
  counterfactual_answer_id: number;
  role_ids: Spans;
  choice_ids: number[][];
}

type Label = "id" | "group" | "template" | "cluster" | "split";

/** What may be written: labels may be numbers. */
export type RawItem = {
  [K in keyof Fields | Label]?: K extends keyof Fields ? Fields[K] : string | number;
};

/** What was read. */
export type Line = {
  [K in keyof Fields | Label]?: (K extends keyof Fields ? Fields[K] : string) | undefined;
} & Record<string, unknown>;
