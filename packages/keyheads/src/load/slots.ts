// Shapes of the engine's slots: matrices as [out, in], vectors as [n].
import type { LayerSlot, ModelSlot, ModelSpec, SlotRef } from "@keyheads/native";

/** [out, in] of a matrix, [n] of a vector. */
export function slotShape(
  slot: ModelSlot | LayerSlot,
  spec: ModelSpec,
): readonly [out: number, into?: number] {
  const { dModel, dMlp, vocab, context, positionOffset, qkNorm } = spec;
  const query = spec.heads * spec.dHead;
  const kv = spec.kvHeads * spec.dHead;
  switch (slot) {
    case "embed":
    case "unembed":
      return [vocab, dModel];
    case "posEmbed":
      return [context + positionOffset, dModel];
    case "unembedBias":
      return [vocab];
    case "qNorm":
      return [qkNorm === "head" ? spec.dHead : query];
    case "kNorm":
      return [qkNorm === "head" ? spec.dHead : kv];
    case "router":
      return [spec.experts, dModel];
    case "wq":
      return [query, dModel];
    case "wk":
    case "wv":
      return [kv, dModel];
    case "wo":
      return [dModel, query];
    case "wGate":
    case "wUp":
      return [dMlp, dModel];
    case "wDown":
      return [dModel, dMlp];
    case "bq":
      return [query];
    case "bk":
    case "bv":
      return [kv];
    case "bGate":
    case "bUp":
      return [dMlp];
    default:
      // Norms, their biases, bo and bDown.
      return [dModel];
  }
}

/** A slot as a key of a Map: "wq.3", or "wUp.3.expert1". */
export const slotKey = ({ slot, layer, expert }: SlotRef<string>): string =>
  `${slot}.${layer}${expert === undefined ? "" : `.expert${expert}`}`;
