// Edge attribution: for every edge and item the sum over rows of what the sender would add times the
// gradient at the receiver.
import type { FloatArray, ModelSpec } from "@keyheads/native";
import { type EdgeGraph, edgeCount, receiverHooks, receiverSite } from "./graph.ts";

/** Which senders to score; all by default. */
export type SenderRange = readonly [start: number, stop: number];

/**
 * Writes into `scores` [edges, items]. `gradients` are those at `receiverHooks`, in their order, of
 * the same rows as the contributions; a hook without a gradient (of layers before the senders) is
 * left out as undefined.
 */
export function scoreEdges(
  spec: ModelSpec,
  graph: EdgeGraph,
  contributions: readonly FloatArray[],
  gradients: readonly (FloatArray | undefined)[],
  starts: Int32Array,
  scores: Float64Array,
  [first, last]: SenderRange = [0, graph.senders.length],
): void {
  const slots = new Map(receiverHooks(spec, graph).map((hook, i) => [hook, i]));
  const items = starts.length - 1;
  graph.receivers.forEach((receiver, r) => {
    const { hook, copies, copy } = receiverSite(spec, receiver);
    const gradient = gradients[slots.get(hook) as number];
    if (!gradient) return;
    for (let s = first; s < Math.min(last, receiver.reads); ++s) {
      const added = contributions[s] as FloatArray;
      const edge = (graph.starts[r] as number) + s;
      for (let item = 0; item < items; ++item) {
        let sum = 0;
        for (let row = starts[item] as number; row < (starts[item + 1] as number); ++row) {
          sum += dot(
            added,
            row * spec.dModel,
            gradient,
            (row * copies + copy) * spec.dModel,
            spec.dModel,
          );
        }
        scores[edge * items + item] = sum;
      }
    }
  });
}

function dot(a: FloatArray, from: number, b: FloatArray, start: number, length: number): number {
  let sum = 0;
  for (let c = 0; c < length; ++c) sum += (a[from + c] as number) * (b[start + c] as number);
  return sum;
}

/** Of every sender and item, the sum over its edges: [senders][items]. */
export function sumEdges(graph: EdgeGraph, scores: Float64Array): Float64Array[] {
  const items = scores.length / edgeCount(graph);
  return graph.senders.map((_, s) => {
    const sum = new Float64Array(items);
    graph.receivers.forEach(({ reads }, r) => {
      if (s >= reads) return;
      const edge = (graph.starts[r] as number) + s;
      for (let item = 0; item < items; ++item) {
        sum[item] = (sum[item] as number) + (scores[edge * items + item] as number);
      }
    });
    return sum;
  });
}
