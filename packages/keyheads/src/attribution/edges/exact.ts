// Exact edges: in the run of X_r what one sender would add is added to one receiver's input alone, at
// the chosen positions; every node in between stays as it is, and what is downstream of the receiver is
// recomputed. One row of runs a receiver, with all its senders side by side.
import type { FloatArray, ModelSpec } from "@keyheads/native";
import { concatenate, part } from "../../float-arrays.ts";
import { hooks } from "../../hooks.ts";
import type { CallOptions, Model } from "../../model.ts";
import type { Metric } from "../approximate/metric.ts";
import type { Positions } from "../options.ts";
import { emptyReading, pairReadout, storeReading } from "../reading.ts";
import { itemEffects } from "../summary.ts";
import { contributions } from "./contributions.ts";
import { edgeCount, edgeGraph, type Receiver, receiverSite } from "./graph.ts";

/** Tokens that run at once: every head reads a copy of the stream of its own. */
const mostNumbers = 2 ** 24;

/** [edges, items], in the order of `edgeGraph`. */
export async function exactEdges(
  model: Model,
  metric: Metric,
  positions: Positions,
  { signal, onProgress }: CallOptions,
): Promise<Float64Array> {
  const { spec } = model;
  const { pairs } = metric;
  const call: CallOptions = signal ? { signal } : {};
  const graph = edgeGraph(spec);
  const whole = await contributions(model, pairs, positions, call);
  const added = graph.senders.map((_, s) => part(whole, s, graph.senders.length));
  const sequences = pairs.map((pair) => pair.reference);
  const streams = await residualStreams(model, sequences, call);
  const scores = new Float64Array(edgeCount(graph) * pairs.length);
  const tokens = sequences.reduce((sum, { length }) => sum + length, 0);
  const together = Math.max(1, Math.floor(mostNumbers / (tokens * spec.heads * spec.dModel)));
  for (const [r, receiver] of graph.receivers.entries()) {
    const residual = streams[firstLayer(spec, receiver)] as FloatArray;
    for (let first = 0; first < receiver.reads; first += together) {
      const last = Math.min(receiver.reads, first + together);
      const effects = await addTo(model, metric, receiver, {
        residual,
        added: added.slice(first, last),
        positions,
        call,
      });
      scores.set(effects, ((graph.starts[r] as number) + first) * pairs.length);
    }
    onProgress?.(r + 1, graph.receivers.length);
  }
  return scores;
}

/** The stream entering every layer. */
async function residualStreams(
  model: Model,
  sequences: readonly (readonly number[])[],
  call: CallOptions,
): Promise<FloatArray[]> {
  const { layers } = model.spec;
  const { captures } = await model.forward({
    sequences,
    captures: Array.from({ length: layers }, (_, layer) => ({ hook: hooks.resid_pre(layer) })),
    ...call,
  });
  return captures;
}

interface Added {
  readonly residual: FloatArray;
  /** One array a sender. */
  readonly added: readonly FloatArray[];
  readonly positions: Positions;
  readonly call: CallOptions;
}

/** [senders, items] */
async function addTo(
  model: Model,
  { pairs, effect, reference, guard }: Metric,
  receiver: Receiver,
  { residual, added, positions, call }: Added,
): Promise<Float64Array> {
  const runs = added.flatMap(() => pairs);
  const sequences = runs.map((pair) => pair.reference);
  const readout = pairReadout(runs, effect.needsLogsumexp);
  const value = concatenate([...added]);
  const { hook, copies, copy } = receiverSite(model.spec, receiver);
  const run = await model.forward({
    sequences,
    startAtLayer: firstLayer(model.spec, receiver),
    residual: concatenate(added.map(() => residual)),
    edits: [{ hook, positions, op: "add", value, ...(copies > 1 && { head: copy }) }],
    readout,
    ...call,
  });
  const out = new Float64Array(runs.length);
  for (const s of added.keys()) {
    const reading = emptyReading(pairs.length);
    storeReading(reading, 0, run, s * pairs.length, pairs.length);
    out.set(itemEffects(effect, reference, reading, guard), s * pairs.length);
  }
  return out;
}

/** The logits' input is behind the last layer, which runs again. */
function firstLayer({ layers }: ModelSpec, { layer }: Receiver): number {
  return Math.min(layer, layers - 1);
}
