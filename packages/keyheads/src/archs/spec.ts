// An architecture is data: choices of what the decoder computes, which config keys hold its sizes,
// and which tensor fills each slot. The choices decide which weights must be named and the type
// checker enforces it (weights.ts), so a fact such as "this family has q/k/v biases" cannot rot in a
// comment.
import type { ModelSpec } from "@keyheads/native";
import type { LayerWeights, ModelWeights, Weights } from "./weights.ts";

/** A fact that is the same in every checkpoint, or is read from a boolean key of config.json. */
export type Flag = boolean | { readonly key: string; readonly absent: boolean };
/** A number, a config key, or a key with what it means when it is absent, and when it is null. */
export type Size =
  | string
  | number
  | Derived
  | {
      readonly key: string;
      readonly absent: Size;
      /** The same as absent, unless given. */
      readonly null?: string | number | Derived;
    };
export type Derived =
  | { readonly times: number; readonly of: string }
  /** `down`: a quotient that is not whole is rounded down, where it is an error otherwise. */
  | { readonly of: string; readonly dividedBy: string; readonly down?: true };
/** A number that may be switched off: null in config.json is none, and so is `absent: null`. */
export type Option = { readonly key: string; readonly absent: number | null };

/** What the decoder computes. What a family does not name, it does not have. */
export interface Choices {
  readonly norm: ModelSpec["norm"];
  /** Norms of what attention and MLP read (pre, the default), of what they write, or both. */
  readonly normPlacement?: ModelSpec["normPlacement"];
  /** Norms multiply by 1 + weight. */
  readonly normPlusOne?: true;
  /** Attention and MLP read the same stream. */
  readonly parallel?: Flag;
  /** The MLP has no norm of its own and reads through attention's. */
  readonly sharedNorm?: Flag;
  readonly qkNorm?: QkNorm | { readonly kind: QkNorm; readonly when: Flag };
  readonly position: ModelSpec["position"];
  readonly gated: boolean;
  /** Key of config.json that names the activation, in Hugging Face's spelling. */
  readonly activation: { readonly key: string; readonly absent: string };
  readonly qkvBias: Flag;
  readonly outBias: Flag;
  readonly mlpBias: Flag;
  readonly unembedBias?: true;
  readonly tied: Flag;
  /** Scores are divided by the root of dHead (the default), of this key's value, or not at all. */
  readonly scoresDividedByRootOf?: { readonly key: string; readonly absent: number };
  readonly scaledScores?: Flag;
  /** Those of layer i, from 0, are divided by i + 1 as well. */
  readonly scoresDividedByLayer?: Flag;
  readonly scoreCap?: Option;
  readonly logitCap?: Option;
  /** Embeddings are multiplied by sqrt(dModel). */
  readonly scaledEmbedding?: true;
  readonly windows?: Windows;
  readonly experts?: { readonly count: Size; readonly perToken: Size };
}
type QkNorm = Exclude<ModelSpec["qkNorm"], "none">;

/** How many keys a query sees in a layer with a window, and which layers those are. */
export interface Windows {
  readonly size: Option;
  /** Off, whatever the size, unless this holds. */
  readonly when?: Flag;
  /** `even`: 0, 2, ...; `from`: those from the layer that a key names. */
  readonly layers:
    | "all"
    | "even"
    | { readonly from: { readonly key: string; readonly absent: number } };
  /** The key layer_types, where it is there, says it instead. */
  readonly layerTypes?: true;
}

/** Rotary positions: where older configs keep the settings. Newer ones have rope_parameters. */
export interface Rotary {
  /** Of several keys those that are there must agree. A number: there are no settings at all. */
  readonly theta: number | { readonly key: string | readonly string[]; readonly absent: number };
  /** Share of a head's dimensions that is rotated, in families where it is not all of them. */
  readonly fraction?: { readonly key: string | readonly string[]; readonly absent: number };
  /** The same as a number of dimensions. */
  readonly dimensions?: { readonly key: string; readonly absent: number };
  /** transformers takes these dimensions as they are; elsewhere an odd number takes one more. */
  readonly even?: true;
  readonly pairs?: ModelSpec["rotaryPairs"];
  /** Key outside the settings for the length that the model was trained for; it wins. */
  readonly trained?: Option;
  /** What this family calls its scalings, where it does not take all by their own names. */
  readonly types?: Readonly<Record<string, RopeType>>;
}
export type RopeType = "default" | "linear" | "dynamic" | "llama3" | "yarn" | "longrope";

export type SizeName =
  | "layers"
  | "dModel"
  | "heads"
  | "kvHeads"
  | "dHead"
  | "dMlp"
  | "vocab"
  | "context"
  | "normEps";

/** Values, or the value of another key; `why` not others, where that is a decision. */
export type Supported =
  | readonly unknown[]
  | { readonly only: readonly unknown[]; readonly why: string }
  | { readonly sameAs: string; readonly why?: string };

export interface ArchSpec {
  readonly name: string;
  /** `architectures[0]` of the config.json. */
  readonly huggingface: readonly string[];
  /** `model_type`, used where `architectures` is missing. */
  readonly modelType: string;
  readonly choices: Choices;
  readonly sizes: Readonly<Record<SizeName, Size>>;
  /** Families with rotary positions must say. */
  readonly rotary?: Rotary;
  /** Row of the position table that belongs to position 0, where it is not the first. */
  readonly positionOffset?: number;
  /** Config keys that change the mathematics, with the values under which it is what we compute. */
  readonly supported?: Readonly<Record<string, Supported>>;
  /** Config keys that this family writes and that change nothing here. */
  readonly harmless: readonly string[];
  readonly weights: Weights;
  /** Stands before every name in some checkpoints and is left out in others. */
  readonly optionalPrefix?: string;
  /** Tensors that are no parameters: buffers that older checkpoints contain. */
  readonly ignored?: readonly string[];
}

/** Checks an architecture's data against its choices at compile time. */
export function defineArch<const C extends Choices>(
  spec: ArchSpec & {
    readonly choices: C;
    readonly weights: ModelWeights<C> & { readonly layer: LayerWeights<C> };
  } & PositionsOf<C>,
): ArchSpec {
  return spec;
}

type PositionsOf<C extends Choices> = C["position"] extends "rotary"
  ? { readonly rotary: Rotary; readonly positionOffset?: never }
  : { readonly rotary?: never };
