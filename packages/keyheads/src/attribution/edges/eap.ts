// Edge attribution patching. EAP (Syed et al. 2023, arXiv 2310.10348, equation 3): gradients of X_r.
// EAP-IG (Hanna et al. 2024, arXiv 2403.17806, section 3): gradients averaged on the way from X_r to X_c,
// either of the input embeddings, or (as the MIB benchmark calls it, Mueller et al. 2025, arXiv
// 2504.13151) of the sender's own activations, layer by layer and with all else as on X_r. The mean over
// the way is taken at the midpoints of equal steps.
import type { FloatArray } from "@keyheads/native";
import { hooks } from "../../hooks.ts";
import type { CallOptions, Model } from "../../model.ts";
import { gradientsOf, type Metric, type MetricRun } from "../approximate/metric.ts";
import type { Positions } from "../options.ts";
import { contributions } from "./contributions.ts";
import { type EdgeGraph, edgeCount, edgeGraph } from "./graph.ts";
import { readEdges, type SenderRange } from "./score.ts";

export interface EapOptions {
  /** none: EAP. */
  readonly interpolate: "none" | "inputs" | "activations";
  readonly steps: number;
  readonly positions: Positions;
}

/** One array a metric: [edges, items], in the order of `edgeGraph`. */
export async function edgeAttribution(
  model: Model,
  metrics: readonly Metric[],
  options: EapOptions,
  call: CallOptions,
): Promise<Float64Array[]> {
  const { spec } = model;
  const graph = edgeGraph(spec);
  const pairs = metrics[0]?.pairs ?? [];
  const added = await contributions(model, pairs, options.positions, call);
  const ways = await waysOf(model, metrics[0] as Metric, graph, options, call);
  const results = metrics.map(() => new Float64Array(edgeCount(graph) * pairs.length));
  for (const { senders, runs } of ways) {
    const reading = readEdges(spec, graph, added, options.positions, senders);
    const { sites, directions } = reading;
    for (const [m, metric] of metrics.entries()) {
      for (const run of runs) {
        const found = await gradientsOf(model, metric, { ...run, directions }, sites, call);
        reading.add(found, 1 / runs.length, results[m] as Float64Array);
      }
    }
  }
  return results;
}

/** Runs over which the mean is taken, for some of the senders. */
interface Way {
  readonly senders: SenderRange;
  readonly runs: readonly MetricRun[];
}

async function waysOf(
  model: Model,
  metric: Metric,
  graph: EdgeGraph,
  { interpolate, steps }: EapOptions,
  call: CallOptions,
): Promise<Way[]> {
  const every: SenderRange = [0, graph.senders.length];
  if (interpolate === "none") return [{ senders: every, runs: [{}] }];
  const shares = Array.from({ length: steps }, (_, k) => (k + 0.5) / steps);
  const inputs = await interpolatedInputs(model, metric, shares, call);
  if (interpolate === "inputs") return [{ senders: every, runs: inputs }];
  const others = await interpolatedActivations(model, metric, shares, call);
  return [{ senders: [0, 1], runs: inputs }, ...others];
}

/** Runs that begin with a mixture of the embeddings of X_r and X_c, positions included. */
async function interpolatedInputs(
  model: Model,
  { pairs }: Metric,
  shares: readonly number[],
  call: CallOptions,
): Promise<MetricRun[]> {
  const read = async (sequences: readonly (readonly number[])[]) =>
    (await model.forward({ sequences, stopAtLayer: 0, ...call })).residual as FloatArray;
  const reference = await read(pairs.map((pair) => pair.reference));
  const counterfactual = await read(pairs.map((pair) => pair.counterfactual));
  return shares.map((share) => ({
    startAtLayer: 0,
    residual: reference.map((x, i) => (1 - share) * x + share * (counterfactual[i] as number)),
    elsewhere: true,
  }));
}

/** Runs of X_r, from a layer on, in which all its heads, or its MLP, are on their way to X_c. */
async function interpolatedActivations(
  model: Model,
  { pairs }: Metric,
  shares: readonly number[],
  call: CallOptions,
): Promise<Way[]> {
  const { layers, heads } = model.spec;
  const each = Array.from({ length: layers }, (_, layer) => layer);
  const names = each.flatMap((layer) => [hooks.z(layer), hooks.mlp_out_raw(layer)]);
  const read = async (sequences: readonly (readonly number[])[], points: readonly string[]) =>
    (await model.forward({ sequences, captures: points.map((hook) => ({ hook })), ...call }))
      .captures;
  const values = await read(
    pairs.map((pair) => pair.counterfactual),
    names,
  );
  const streams = await read(
    pairs.map((pair) => pair.reference),
    each.map((layer) => hooks.resid_pre(layer)),
  );
  return names.map((hook, i): Way => {
    const layer = i >> 1;
    const first = 1 + layer * (heads + 1);
    const value = values[i] as FloatArray;
    const residual = streams[layer] as FloatArray;
    return {
      senders: i % 2 === 0 ? [first, first + heads] : [first + heads, first + heads + 1],
      runs: shares.map((share) => ({
        edits: [{ hook, op: "interpolate", factor: share, value }],
        elsewhere: true,
        ...{ startAtLayer: layer, residual },
      })),
    };
  });
}
