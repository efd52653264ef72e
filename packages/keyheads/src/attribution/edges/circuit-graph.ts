// A circuit of edges as every input of the model sees it: which senders it reads from the circuit.
// Query heads that share keys and values have inputs of their own here, as in EAP-IG's graphs.
import type { ModelSpec } from "@keyheads/native";

/** By sender of `edgeGraph`: 1 where the edge from it is in the circuit. */
export type Mask = Uint8Array;

export interface LayerMasks {
  /** By query head. */
  readonly q: readonly Mask[];
  readonly k: readonly Mask[];
  readonly v: readonly Mask[];
  readonly mlp: Mask;
}

export interface CircuitMasks {
  readonly layers: readonly LayerMasks[];
  readonly logits: Mask;
}

/** Where senders stand: the embeddings, then layer by layer the heads and the MLP. */
export const senderIndex = {
  embedding: 0,
  head: ({ heads }: ModelSpec, layer: number, head: number) => 1 + layer * (heads + 1) + head,
  mlp: ({ heads }: ModelSpec, layer: number) => 1 + layer * (heads + 1) + heads,
} as const;

/** Nothing in the circuit. */
export function emptyMasks({ layers, heads }: ModelSpec): CircuitMasks {
  const mask = () => new Uint8Array(1 + layers * (heads + 1));
  const each = () => Array.from({ length: heads }, mask);
  return {
    layers: Array.from({ length: layers }, () => ({
      q: each(),
      k: each(),
      v: each(),
      mlp: mask(),
    })),
    logits: mask(),
  };
}

/**
 * Which senders matter: those that the embeddings reach and that reach the logits, by edges of the
 * circuit. All others carry what X_c gives, or nobody looks.
 */
export function liveSenders(spec: ModelSpec, { layers, logits }: CircuitMasks): Uint8Array {
  const { heads } = spec;
  const count = logits.length;
  const reached = new Uint8Array(count);
  const reads = (mask: Mask) => mask.some((edge, sender) => edge === 1 && reached[sender] === 1);
  reached[senderIndex.embedding] = 1;
  layers.forEach(({ q, k, v, mlp }, layer) => {
    const first = senderIndex.head(spec, layer, 0);
    for (let head = 0; head < heads; ++head) {
      const own = [q, k, v].map((masks) => masks[head] as Mask);
      if (own.some(reads)) reached[first + head] = 1;
    }
    if (reads(mlp)) reached[senderIndex.mlp(spec, layer)] = 1;
  });
  const needed = new Uint8Array(count);
  const follow = (mask: Mask) =>
    mask.forEach((edge, sender) => {
      if (edge === 1) needed[sender] = 1;
    });
  follow(logits);
  for (let layer = spec.layers - 1; layer >= 0; --layer) {
    const { q, k, v, mlp } = layers[layer] as LayerMasks;
    if (needed[senderIndex.mlp(spec, layer)] === 1) follow(mlp);
    for (let head = 0; head < heads; ++head) {
      if (needed[senderIndex.head(spec, layer, head)] !== 1) continue;
      for (const masks of [q, k, v]) follow(masks[head] as Mask);
    }
  }
  return reached.map((one, sender) => one & (needed[sender] as number));
}
