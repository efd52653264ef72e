// The nodes of the circuit graph and who can read whom. A sender is what a node adds to the residual
// stream, a receiver an input that reads the stream: q of every head, k and v of every key/value group,
// the MLP, the logits at END. An edge is direct: what the sender adds, as the receiver reads it, with
// every node in between as it is.
import type { ModelSpec } from "@keyheads/native";
import { hooks } from "../../hooks.ts";
import { type Component, componentName } from "../component.ts";

/** A head, an MLP (head -1), or (layer -1) the embeddings. */
export type Sender = Component;
export const embedding: Sender = { layer: -1, head: -1 };

export interface Receiver {
  readonly kind: "q" | "k" | "v" | "mlp" | "logits";
  readonly layer: number;
  /** Of k and v: the group, which all its query heads share. */
  readonly head: number;
  /** It reads the first so many of `senders`. */
  readonly reads: number;
}

export interface EdgeGraph {
  /** The embeddings, then layer by layer the heads and the MLP. */
  readonly senders: readonly Sender[];
  readonly receivers: readonly Receiver[];
  /** The edges of receiver r are [starts[r], starts[r + 1]), in the order of the senders. */
  readonly starts: Int32Array;
}

export function edgeGraph(spec: ModelSpec): EdgeGraph {
  const { layers, heads, kvHeads, block } = spec;
  const each = Array.from({ length: layers }, (_, layer) => layer);
  const senders = [
    embedding,
    ...each.flatMap((layer) => [
      ...Array.from({ length: heads }, (_, head) => ({ layer, head })),
      { layer, head: -1 },
    ]),
  ];
  const receivers = each.flatMap((layer): Receiver[] => {
    const before = 1 + layer * (heads + 1);
    const of = (kind: "q" | "k" | "v", count: number) =>
      Array.from({ length: count }, (_, head) => ({ kind, layer, head, reads: before }));
    return [
      ...of("q", heads),
      ...of("k", kvHeads),
      ...of("v", kvHeads),
      { kind: "mlp", layer, head: -1, reads: before + (block === "parallel" ? 0 : heads) },
    ];
  });
  receivers.push({ kind: "logits", layer: layers, head: -1, reads: senders.length });
  const starts = new Int32Array(receivers.length + 1);
  receivers.forEach(({ reads }, r) => {
    starts[r + 1] = (starts[r] as number) + reads;
  });
  return { senders, receivers, starts };
}

export const edgeCount = ({ starts }: EdgeGraph): number => starts[starts.length - 1] as number;

/** `embed`, `3.1` or `mlp 3`. */
export function senderName(sender: Sender): string {
  return sender.layer < 0 ? "embed" : componentName(sender);
}

/** `3.1.q`, `mlp 3` or `logits`. */
export function receiverName({ kind, layer, head }: Receiver): string {
  if (kind === "logits") return "logits";
  return kind === "mlp" ? `mlp ${layer}` : `${layer}.${head}.${kind}`;
}

/** Where a receiver reads: the hook, and how many copies of the stream it has in a row. */
export function receiverSite(spec: ModelSpec, { kind, layer, head }: Receiver) {
  switch (kind) {
    case "q":
      return { hook: hooks.q_input(layer), copies: spec.heads, copy: head };
    case "k":
      return { hook: hooks.k_input(layer), copies: spec.kvHeads, copy: head };
    case "v":
      return { hook: hooks.v_input(layer), copies: spec.kvHeads, copy: head };
    case "mlp":
      return { hook: hooks.mlp_in(layer), copies: 1, copy: 0 };
    case "logits":
      return { hook: hooks.resid_post(layer - 1), copies: 1, copy: 0 };
  }
}

/** Every hook that receivers read at, once. */
export function receiverHooks(spec: ModelSpec, graph: EdgeGraph): string[] {
  return [...new Set(graph.receivers.map((receiver) => receiverSite(spec, receiver).hook))];
}
