// Edge attribution as its formula is written, from whole gradients of whole runs: the oracle of what
// the engine's derivatives along contributions give.
import type { FloatArray, ModelSpec } from "@keyheads/native";
import {
  gradientsOf,
  type Metric,
  type MetricRun,
} from "../../packages/keyheads/src/attribution/approximate/metric.ts";
import { rowStarts } from "../../packages/keyheads/src/attribution/approximate/sender-values.ts";
import { contributions } from "../../packages/keyheads/src/attribution/edges/contributions.ts";
import type { EapOptions } from "../../packages/keyheads/src/attribution/edges/eap.ts";
import {
  type EdgeGraph,
  edgeCount,
  edgeGraph,
  receiverHooks,
  receiverSite,
} from "../../packages/keyheads/src/attribution/edges/graph.ts";
import type { SenderRange } from "../../packages/keyheads/src/attribution/edges/score.ts";
import { part } from "../../packages/keyheads/src/float-arrays.ts";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import type { Model } from "../../packages/keyheads/src/model.ts";

/** What `edgeAttribution` gives for one metric. */
export async function plainEdges(
  model: Model,
  metric: Metric,
  { interpolate, steps, positions }: EapOptions,
): Promise<Float64Array> {
  const { spec } = model;
  const graph = edgeGraph(spec);
  const whole = await contributions(model, metric.pairs, positions, {});
  const added = graph.senders.map((_, s) => part(whole, s, graph.senders.length));
  const starts = rowStarts(metric.pairs, positions);
  const sites = receiverHooks(spec, graph).map((hook) => ({ hook, positions }));
  const shares = Array.from({ length: steps }, (_, k) => (k + 0.5) / steps);
  const [reference, counterfactual] = (["reference", "counterfactual"] as const).map((which) =>
    metric.pairs.map((pair) => pair[which]),
  ) as [number[][], number[][]];
  const stream = async (sequences: number[][]) =>
    (await model.forward({ sequences, stopAtLayer: 0 })).residual as FloatArray;
  const [from, to] = [await stream(reference), await stream(counterfactual)];
  const mixed = (share: number): MetricRun => ({
    startAtLayer: 0,
    residual: from.map((x, i) => (1 - share) * x + share * (to[i] as number)),
    elsewhere: true,
  });
  const moved = async (hook: string) => {
    const { captures } = await model.forward({ sequences: counterfactual, captures: [{ hook }] });
    return (share: number): MetricRun => ({
      edits: [{ hook, op: "interpolate", factor: share, value: captures[0] as FloatArray }],
      elsewhere: true,
    });
  };
  const scores = new Float64Array(edgeCount(graph) * metric.pairs.length);
  const score = async (runs: readonly MetricRun[], senders?: SenderRange) => {
    let mean: FloatArray[] | undefined;
    for (const run of runs) {
      const found = await gradientsOf(model, metric, run, sites, {});
      const before = mean;
      mean = found.map((one, i) => one.map((x, c) => x / runs.length + (before?.[i]?.[c] ?? 0)));
    }
    scoreEdges(spec, graph, added, mean ?? [], starts, scores, senders);
  };
  if (interpolate === "none") await score([{}]);
  else if (interpolate === "inputs") await score(shares.map(mixed));
  else {
    await score(shares.map(mixed), [0, 1]);
    for (let layer = 0; layer < spec.layers; ++layer) {
      const [first, mlp] = [1 + layer * (spec.heads + 1), (layer + 1) * (spec.heads + 1)];
      await score(shares.map(await moved(hooks.z(layer))), [first, mlp]);
      await score(shares.map(await moved(hooks.mlp_out_raw(layer))), [mlp, mlp + 1]);
    }
  }
  return scores;
}

/** Writes into `scores` [edges, items]. `gradients` are those at `receiverHooks`, in their order. */
function scoreEdges(
  spec: ModelSpec,
  graph: EdgeGraph,
  contributions: readonly FloatArray[],
  gradients: readonly FloatArray[],
  starts: Int32Array,
  scores: Float64Array,
  [first, last]: SenderRange = [0, graph.senders.length],
): void {
  const slots = new Map(receiverHooks(spec, graph).map((hook, i) => [hook, i]));
  const items = starts.length - 1;
  graph.receivers.forEach((receiver, r) => {
    const { hook, copies, copy } = receiverSite(spec, receiver);
    const gradient = gradients[slots.get(hook) as number] as FloatArray;
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
