// What the senders of a circuit's run write, and what of it an input reads. Kept as differences from
// X_c's run: what is not part of the circuit is exactly zero.
import type { FloatArray, ModelSpec } from "@keyheads/native";
import { splitHeads } from "../../float-arrays.ts";
import { hooks } from "../../hooks.ts";
import type { CallOptions, Model } from "../../model.ts";
import { minus } from "../approximate/sender-values.ts";
import { type Mask, senderIndex } from "./circuit-graph.ts";
import { postNorm } from "./contributions.ts";

/** What the plain runs gave. */
export interface Base {
  readonly sequences: readonly (readonly number[])[];
  /** The stream of X_c entering every layer, [rows, dModel]. */
  readonly streams: readonly FloatArray[];
  /** What every sender writes on X_c; of the embeddings: what they write more on X_r. */
  readonly senders: readonly FloatArray[];
  /** Where a norm follows attention: attention's output before it, and the norm, by layer. */
  readonly posts: readonly { raw: FloatArray; norm: (rows: FloatArray) => FloatArray }[];
}

export async function readBase(
  model: Model,
  references: readonly (readonly number[])[],
  counterfactuals: readonly (readonly number[])[],
  call: CallOptions,
): Promise<Base> {
  const { layers, heads, dModel, normPlacement } = model.spec;
  const each = Array.from({ length: layers }, (_, layer) => layer);
  const names = each.flatMap((layer) => [
    hooks.resid_pre(layer),
    hooks.result(layer),
    hooks.mlp_out(layer),
    hooks.attn_out_raw(layer),
  ]);
  const captures = names.map((hook) => ({ hook }));
  const of = async (sequences: readonly (readonly number[])[]) =>
    (await model.forward({ sequences, stopAtLayer: 0, ...call })).residual as FloatArray;
  const found = (await model.forward({ sequences: counterfactuals, captures, ...call })).captures;
  const at = (layer: number, which: number) => found[4 * layer + which] as FloatArray;
  const norms = normPlacement === "pre" ? [] : each.map((layer) => postNorm(model, layer, call));
  return {
    sequences: references,
    streams: each.map((layer) => at(layer, 0)),
    senders: [
      minus(await of(references), await of(counterfactuals)),
      ...each.flatMap((layer) => [...splitHeads(at(layer, 1), heads, dModel), at(layer, 2)]),
    ],
    posts: (await Promise.all(norms)).map((norm, layer) => ({ raw: at(layer, 3), norm })),
  };
}

/** What senders write in a circuit's run beyond what they write on X_c. */
export class Written {
  readonly #spec: ModelSpec;
  readonly #base: Base;
  readonly #changes: (FloatArray | undefined)[];
  /** Sums over the heads of a layer. */
  readonly #sums = new Map<number, FloatArray>();

  constructor(spec: ModelSpec, base: Base) {
    this.#spec = spec;
    this.#base = base;
    this.#changes = base.senders.map(() => undefined);
    this.#changes[senderIndex.embedding] = base.senders[senderIndex.embedding] as FloatArray;
  }

  store(sender: number, value: FloatArray): void {
    this.#changes[sender] = minus(value, this.#base.senders[sender] as FloatArray);
  }

  /** What the circuit adds to the stream of X_c as an input reads it; undefined is nothing. */
  into(mask: Mask): FloatArray | undefined {
    const reads = (sender: number) => mask[sender] === 1 && this.#changes[sender] !== undefined;
    const { layers } = this.#spec;
    if (![...mask.keys()].some(reads)) return undefined;
    const sum = (this.#base.senders[0] as FloatArray).slice().fill(0);
    if (reads(senderIndex.embedding)) this.#add(sum, senderIndex.embedding);
    for (let layer = 0; layer < layers; ++layer) {
      this.#addHeads(sum, layer, reads);
      const mlp = senderIndex.mlp(this.#spec, layer);
      if (reads(mlp)) this.#add(sum, mlp);
    }
    return sum;
  }

  #addHeads(sum: FloatArray, layer: number, reads: (sender: number) => boolean): void {
    const own = Array.from({ length: this.#spec.heads }, (_, head) =>
      senderIndex.head(this.#spec, layer, head),
    ).filter((sender) => this.#changes[sender]);
    const some = own.filter(reads);
    if (some.length === 0) return;
    const post = this.#base.posts[layer];
    const into = post ? post.raw.slice() : sum;
    if (2 * some.length <= own.length) for (const sender of some) this.#add(into, sender);
    else {
      // Most of them: all, without the others.
      addTo(into, this.#sum(layer, own));
      for (const sender of own) if (!reads(sender)) this.#add(into, sender, -1);
    }
    if (post) addTo(sum, minus(post.norm(into), post.norm(post.raw)));
  }

  #sum(layer: number, senders: readonly number[]): FloatArray {
    const known = this.#sums.get(layer);
    if (known) return known;
    const sum = (this.#base.senders[0] as FloatArray).slice().fill(0);
    for (const sender of senders) this.#add(sum, sender);
    this.#sums.set(layer, sum);
    return sum;
  }

  #add(sum: FloatArray, sender: number, sign: 1 | -1 = 1): void {
    addTo(sum, this.#changes[sender] as FloatArray, sign);
  }
}

function addTo(sum: FloatArray, more: FloatArray, sign: 1 | -1 = 1): void {
  for (let i = 0; i < sum.length; ++i) sum[i] = (sum[i] as number) + sign * (more[i] as number);
}
