// Scores of edges: for every edge and item the sum over rows of what the sender would add times the
// gradient at the receiver. The engine takes these products where it has the gradient.
import type { Directions, FloatArray, ModelSpec } from "@keyheads/native";
import type { GradientOptions } from "../../model.ts";
import type { Positions } from "../options.ts";
import { type EdgeGraph, edgeCount, receiverHooks, receiverSite } from "./graph.ts";

/** Which senders to score. */
export type SenderRange = readonly [start: number, stop: number];

/** What a run is asked for: at every hook that receivers read at, the senders that it reads. */
export interface EdgeReading {
  readonly directions: Directions;
  readonly sites: readonly GradientOptions[];
  /** Adds a share of what the run gave to `scores` [edges, items]. */
  add(found: readonly FloatArray[], share: number, scores: Float64Array): void;
}

/** Of some senders; `contributions` are of all of them. */
export function readEdges(
  spec: ModelSpec,
  graph: EdgeGraph,
  contributions: FloatArray,
  positions: Positions,
  [first, last]: SenderRange,
): EdgeReading {
  const count = last - first;
  const size = contributions.length / graph.senders.length;
  const stops = new Map<string, number>();
  for (const receiver of graph.receivers) {
    const stop = Math.min(last, receiver.reads);
    if (stop > first) stops.set(receiverSite(spec, receiver).hook, stop - first);
  }
  const read = receiverHooks(spec, graph).filter((hook) => stops.has(hook));
  const slots = new Map(read.map((hook, i) => [hook, i]));
  return {
    directions: { values: contributions.subarray(first * size, last * size), count },
    sites: read.map((hook) => ({ hook, positions, along: [0, stops.get(hook) as number] })),
    add: (found, share, scores) => {
      const items = scores.length / edgeCount(graph);
      graph.receivers.forEach((receiver, r) => {
        const { hook, copies, copy } = receiverSite(spec, receiver);
        const values = found[slots.get(hook) ?? -1];
        if (!values) return;
        const width = stops.get(hook) as number;
        const edge = (graph.starts[r] as number) + first;
        for (let item = 0; item < items; ++item) {
          const from = (item * copies + copy) * width;
          for (let s = 0; s < width; ++s) {
            const at = (edge + s) * items + item;
            scores[at] = (scores[at] as number) + share * (values[from + s] as number);
          }
        }
      });
    },
  };
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
