// Which tensors a family must name, and which it must not, given its choices.
import type { LayerSlot, ModelSlot } from "@keyheads/native";
import type { Choices } from "./spec.ts";

/** A tensor name in the checkpoint, `{i}` being the layer, and how its data lies there. */
export type Weight =
  | string
  | {
      readonly from: string;
      /** Stored [in, out]. */
      readonly transpose?: true;
      /** The slots whose rows lie in this tensor one after the other. */
      readonly stacked?: readonly LayerSlot[];
      /** The slots whose rows lie in it head by head: q, k, v of head 0, of head 1, ... */
      readonly byHead?: readonly LayerSlot[];
    };
/** One tensor an expert, `{j}` being its number. */
export type ExpertWeight = `${string}{j}${string}`;
/** One tensor a head, `{h}` being its number. */
export type HeadWeight = `${string}{h}${string}`;

export type Weights = { readonly [S in ModelSlot]?: Weight } & {
  readonly layer: { readonly [S in LayerSlot]?: Weight };
};

/** `never` marks slots that the choices exclude: they may not be named. All others must be. */
type Exactly<Slots> = {
  readonly [S in keyof Slots as [Slots[S]] extends [never] ? never : S]: Slots[S];
} & { readonly [S in keyof Slots as [Slots[S]] extends [never] ? S : never]?: never };

export type ModelWeights<C extends Choices> = Exactly<{
  embed: Weight;
  posEmbed: C["position"] extends "learned" ? Weight : never;
  finalNorm: Weight;
  finalNormBias: LayerNorm<C>;
  unembed: C["tied"] extends true ? never : Weight;
  unembedBias: If<Choice<C, "unembedBias", false>>;
}>;

/** Weights that a flag of the config decides on must be named too. */
export type LayerWeights<C extends Choices> = Exactly<{
  attnNorm: PreNorm<C>;
  attnNormBias: PreNorm<C> & LayerNorm<C>;
  wq: Weight;
  wk: Weight;
  wv: Weight;
  wo: Weight;
  bq: If<C["qkvBias"]>;
  bk: If<C["qkvBias"]>;
  bv: If<C["qkvBias"]>;
  bo: If<C["outBias"]>;
  qNorm: QkNorm<C>;
  kNorm: QkNorm<C>;
  attnPostNorm: PostNorm<C>;
  mlpNorm: PreNorm<C> & OwnNorm<C>;
  mlpNormBias: PreNorm<C> & OwnNorm<C> & LayerNorm<C>;
  mlpPostNorm: PostNorm<C>;
  router: C extends { readonly experts: object } ? Weight : never;
  wGate: Gated<C> & Mlp<C>;
  wUp: Mlp<C>;
  wDown: Mlp<C>;
  bGate: Gated<C> & If<C["mlpBias"]>;
  bUp: If<C["mlpBias"]>;
  bDown: If<C["mlpBias"]>;
}>;

/** An optional choice, or what it means to leave it out. */
type Choice<C extends Choices, K extends keyof Choices, Absent> = C extends {
  readonly [P in K]: infer Value;
}
  ? Value
  : Absent;
type If<F> = F extends false ? never : Weight;
type LayerNorm<C extends Choices> = C["norm"] extends "layer" ? Weight : never;
type PreNorm<C extends Choices> = Choice<C, "normPlacement", "pre"> extends "post" ? never : Weight;
type PostNorm<C extends Choices> = Choice<C, "normPlacement", "pre"> extends "pre" ? never : Weight;
type OwnNorm<C extends Choices> = Choice<C, "sharedNorm", false> extends true ? never : Weight;
type Gated<C extends Choices> = C["gated"] extends true ? Weight : never;
type Mlp<C extends Choices> = C extends { readonly experts: object } ? ExpertWeight : Weight;
type QkNorm<C extends Choices> = C extends { readonly qkNorm: infer Kind }
  ? Kind extends "heads" | { readonly kind: "heads" }
    ? HeadWeight
    : Weight
  : never;
