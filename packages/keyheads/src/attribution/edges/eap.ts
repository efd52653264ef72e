// Edge attribution patching. EAP (Syed et al. 2023, arXiv 2310.10348, equation 3): gradients of X_r.
// EAP-IG (Hanna et al. 2024, arXiv 2403.17806, section 3): gradients averaged on the way from X_r to X_c,
// either of the input embeddings, or (as the MIB benchmark calls it, Mueller et al. 2025, arXiv
// 2504.13151) of the sender's own activations, layer by layer and with all else as on X_r. The mean over
// the way is taken at the midpoints of equal steps.
import type { FloatArray, ModelSpec } from "@keyheads/native";
import { hooks } from "../../hooks.ts";
import type { CallOptions, Model } from "../../model.ts";
import { gradientsOf, type Metric, type MetricRun } from "../approximate/metric.ts";
import { rowStarts } from "../approximate/sender-values.ts";
import type { Positions } from "../options.ts";
import { contributions } from "./contributions.ts";
import { allAt, type EdgeGraph, edgeCount, edgeGraph, receiverHooks } from "./graph.ts";
import { type SenderRange, scoreEdges } from "./score.ts";

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
  const starts = rowStarts(pairs, options.positions);
  const ways = await waysOf(model, metrics[0] as Metric, graph, options, call);
  const results: Float64Array[] = [];
  for (const metric of metrics) {
    const scores = new Float64Array(edgeCount(graph) * pairs.length);
    for (const way of ways) {
      const gradients = await meanGradients(model, metric, way, graph, options.positions, call);
      scoreEdges(spec, graph, added, gradients, starts, scores, way.senders);
    }
    results.push(scores);
  }
  return results;
}

/** Runs over whose gradients the mean is taken, for some of the senders. */
interface Way {
  readonly senders: SenderRange;
  readonly runs: readonly MetricRun[];
  /** Receivers of earlier layers are not read. */
  readonly firstLayer: number;
}

async function waysOf(
  model: Model,
  metric: Metric,
  graph: EdgeGraph,
  { interpolate, steps }: EapOptions,
  call: CallOptions,
): Promise<Way[]> {
  const every: SenderRange = [0, graph.senders.length];
  if (interpolate === "none") return [{ senders: every, runs: [{}], firstLayer: 0 }];
  const shares = Array.from({ length: steps }, (_, k) => (k + 0.5) / steps);
  const inputs = await interpolatedInputs(model, metric, shares, call);
  if (interpolate === "inputs") return [{ senders: every, runs: inputs, firstLayer: 0 }];
  const others = await interpolatedActivations(model, metric, shares, call);
  return [{ senders: [0, 1], runs: inputs, firstLayer: 0 }, ...others];
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

/** Runs of X_r in which all heads of a layer, or its MLP, are on their way to X_c. */
async function interpolatedActivations(
  model: Model,
  { pairs }: Metric,
  shares: readonly number[],
  call: CallOptions,
): Promise<Way[]> {
  const { layers, heads } = model.spec;
  const each = Array.from({ length: layers }, (_, layer) => layer);
  const names = each.flatMap((layer) => [hooks.z(layer), hooks.mlp_out_raw(layer)]);
  const { captures } = await model.forward({
    sequences: pairs.map((pair) => pair.counterfactual),
    captures: names.map((hook) => ({ hook })),
    ...call,
  });
  return names.map((hook, i): Way => {
    const layer = i >> 1;
    const first = 1 + layer * (heads + 1);
    const value = captures[i] as FloatArray;
    return {
      senders: i % 2 === 0 ? [first, first + heads] : [first + heads, first + heads + 1],
      runs: shares.map((share) => ({
        edits: [{ hook, op: "interpolate", factor: share, value }],
        elsewhere: true,
      })),
      firstLayer: layer,
    };
  });
}

/** At `receiverHooks`; undefined at those of layers that the way's senders do not reach. */
async function meanGradients(
  model: Model,
  metric: Metric,
  { runs, firstLayer }: Way,
  graph: EdgeGraph,
  positions: Positions,
  call: CallOptions,
): Promise<(FloatArray | undefined)[]> {
  const names = receiverHooks(model.spec, graph);
  const wanted = names.filter((name) => layerOf(name, model.spec) >= firstLayer);
  let mean: FloatArray[] | undefined;
  for (const run of runs) {
    const gradients = await gradientsOf(model, metric, run, allAt(wanted, positions), call);
    for (const [i, gradient] of gradients.entries()) {
      const sum = mean?.[i];
      for (let c = 0; c < gradient.length; ++c) {
        gradient[c] = (gradient[c] as number) / runs.length + ((sum?.[c] as number) ?? 0);
      }
    }
    mean = gradients;
  }
  const found = new Map(wanted.map((name, i) => [name, mean?.[i]]));
  return names.map((name) => found.get(name));
}

function layerOf(name: string, { layers }: ModelSpec): number {
  return Number(/^blocks\.(\d+)\./.exec(name)?.[1] ?? layers);
}
