// A case: a circuit that a model is made of, prompts that need it, and what must be found.

import type { Place } from "./parts.ts";
import type { Role, Stream } from "./weights.ts";

export interface Part {
  /** What it does, for people. */
  readonly does: string;
  /** Its effect is seen by path patching: it writes to END, and what reads it there is no attention. */
  readonly direct: boolean;
  /** Its effect is seen by activation patching at all positions. */
  readonly total: boolean;
}
export interface HeadPart extends Part {
  readonly place: Place;
}
export interface MlpPart extends Part {
  readonly layer: number;
}
/** Names as edges have them: "embed", "1.2", "mlp 3"; "1.2.q", "mlp 3", "logits". */
export type EdgeName =
  | readonly [from: string, to: string]
  /** Part of the circuit, but what is downstream makes up for a change of it. */
  | readonly [from: string, to: string, hidden: "hidden"];

export interface Circuit {
  readonly heads: readonly HeadPart[];
  readonly mlps: readonly MlpPart[];
  readonly edges: readonly EdgeName[];
}

export interface Question {
  readonly prompt: readonly [Role, number][];
  readonly counterfactual: readonly [Role, number][];
  readonly answer: readonly [Role, number];
  readonly counterfactualAnswer: readonly [Role, number];
}

export interface Draw {
  /** A symbol, other than these. */
  symbol(...other: readonly number[]): number;
}

/** Where parts may go: `layer(i)` of `parts` layers in ascending order, `head(i)` different heads. */
export interface Places {
  layer(i: number): number;
  head(layer: number, i?: number): Place;
}

/**
 * What a method may be blind to: effects other than direct ones, effects that something makes up for,
 * what has no slope, what acts through attention patterns, and curves between few steps.
 */
export const blindnesses = ["direct", "total", "gradient", "pattern", "steps"] as const;
export type Blindness = (typeof blindnesses)[number];

export interface Case {
  readonly name: string;
  readonly about: string;
  /** How many different layers its parts need. */
  readonly depth: number;
  /** Why a method cannot find all of it, by what the method measures. */
  readonly why: Readonly<Partial<Record<Blindness, string>>>;
  build(stream: Stream, places: Places): Circuit;
  ask(draw: Draw, symbols: number): Question;
}

export const headName = ({ layer, head }: Place): string => `${layer}.${head}`;
export const mlpName = (layer: number): string => `mlp ${layer}`;
