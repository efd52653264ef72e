// An architecture is data: choices of what the decoder computes, which config keys hold its sizes,
// and which tensor fills each slot. The choices decide which weights must be named and the type
// checker enforces it, so a fact such as "this family has q/k/v biases" cannot rot in a comment.
import type { ModelSpec } from "@keyheads/native";

/** A fact that is the same in every checkpoint, or is read from a boolean key of config.json. */
export type Flag = boolean | { readonly key: string; readonly absent: boolean };
/** A size: a config key, a number, or a key with what it means when absent or null. */
export type Size =
  | string
  | number
  | { readonly key: string; readonly absent: string | number | Derived };
export type Derived =
  | { readonly times: number; readonly of: string }
  | { readonly of: string; readonly dividedBy: string };

/** What the decoder computes. A new family picks one of each. */
export interface Choices {
  readonly norm: ModelSpec["norm"];
  readonly position: ModelSpec["position"];
  readonly gated: boolean;
  /** Key of config.json that names the activation, in Hugging Face's spelling. */
  readonly activation: { readonly key: string; readonly absent: string };
  readonly qkvBias: Flag;
  readonly outBias: Flag;
  readonly mlpBias: Flag;
  readonly tied: Flag;
  /** Attention scores are divided by sqrt(dHead). */
  readonly scaledScores: Flag;
}

/** Where older configs keep the rotary settings; newer ones have them under rope_parameters. */
export interface Rotary {
  readonly theta: { readonly key: string; readonly absent: number };
  /** Share of a head's dimensions that is rotated, in families where it is not all of them. */
  readonly fraction?: { readonly key: string; readonly absent: number };
}

/** A tensor name in the checkpoint, `{i}` being the layer, and how its data lies there. */
export type Weight =
  | string
  | {
      readonly from: string;
      /** Stored [in, out]. */
      readonly transpose?: true;
      /** This part of the out dimension, of that many equal parts. */
      readonly split?: readonly [part: number, of: number];
    };

type Unless<F extends Flag, Slots extends string> = F extends false
  ? unknown
  : Record<Slots, Weight>;

/** The weights that a set of choices needs: no more, no fewer. */
export type LayerWeights<C extends Choices> = Record<
  "attnNorm" | "mlpNorm" | "wq" | "wk" | "wv" | "wo" | "wUp" | "wDown",
  Weight
> &
  Unless<C["qkvBias"], "bq" | "bk" | "bv"> &
  Unless<C["outBias"], "bo"> &
  Unless<C["mlpBias"], "bUp" | "bDown"> &
  (C["norm"] extends "layer" ? Record<"attnNormBias" | "mlpNormBias", Weight> : unknown) &
  (C["gated"] extends true ? Record<"wGate", Weight> & Unless<C["mlpBias"], "bGate"> : unknown);

export type ModelWeights<C extends Choices> = Record<"embed" | "finalNorm", Weight> &
  (C["position"] extends "learned" ? Record<"posEmbed", Weight> : unknown) &
  (C["norm"] extends "layer" ? Record<"finalNormBias", Weight> : unknown) &
  (C["tied"] extends true ? unknown : Record<"unembed", Weight>);

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

export interface ArchSpec<C extends Choices = Choices> {
  readonly name: string;
  /** `architectures[0]` of the config.json. */
  readonly huggingface: readonly string[];
  /** `model_type`, used where `architectures` is missing. */
  readonly modelType: string;
  readonly choices: C;
  readonly sizes: Readonly<Record<SizeName, Size>>;
  /** Families with rotary positions must say. */
  readonly rotary?: Rotary;
  /** Config keys that change the mathematics, with the values under which it is what we compute. */
  readonly supported?: Readonly<Record<string, readonly unknown[]>>;
  /** Config keys that this family writes and that change nothing here. */
  readonly harmless: readonly string[];
  readonly weights: ModelWeights<C> & { readonly layer: LayerWeights<C> };
  /** Stands before every name in some checkpoints and is left out in others. */
  readonly optionalPrefix?: string;
  /** Tensors that are no parameters: buffers that older checkpoints contain. */
  readonly ignored?: readonly string[];
}

/** Checks an architecture's data against its choices at compile time. */
export function defineArch<const C extends Choices>(
  spec: ArchSpec<C> & { readonly weights: { readonly layer: NoExtra<C> } } & RotaryOf<C>,
): ArchSpec<C> {
  return spec;
}

type RotaryOf<C extends Choices> = C["position"] extends "rotary"
  ? { readonly rotary: Rotary }
  : { readonly rotary?: never };

/** Names that the choices exclude may not be given. */
type NoExtra<C extends Choices> = (C["qkvBias"] extends false
  ? { readonly [S in "bq" | "bk" | "bv"]?: never }
  : unknown) &
  (C["outBias"] extends false ? { readonly bo?: never } : unknown) &
  (C["mlpBias"] extends false ? { readonly [S in "bGate" | "bUp" | "bDown"]?: never } : unknown) &
  (C["gated"] extends false ? { readonly [S in "wGate" | "bGate"]?: never } : unknown) &
  (C["norm"] extends "rms" ? { readonly [S in "attnNormBias" | "mlpNormBias"]?: never } : unknown);
