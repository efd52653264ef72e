// AtP* (Kramár et al. 2024, arXiv 2403.00745): attribution patching with GradDrop for heads and MLPs
// and, where queries and keys are asked for, the QK fix.
import type { FloatArray } from "@keyheads/native";
import type { CallOptions, HookEdit, Model } from "../../model.ts";
import type { Component } from "../component.ts";
import type { Positions } from "../options.ts";
import {
  allParts,
  type Part,
  partProducts,
  partSites,
  partValues,
  patternChanges,
  patternProducts,
  patternSites,
} from "./attention-parts.ts";
import { averageDrops, type Dropped, drops } from "./grad-drop.ts";
import { gradientsOf, type Metric } from "./metric.ts";
import { products, rowStarts, senderDifferences, senderSites, toBank } from "./sender-values.ts";

/** Of each metric: every sender. */
export async function droppedSenders(
  model: Model,
  metrics: readonly Metric[],
  senders: readonly Component[],
  positions: Positions,
  call: CallOptions,
): Promise<Dropped[][]> {
  const { spec } = model;
  const pairs = metrics[0]?.pairs ?? [];
  const difference = await senderDifferences(model, pairs, positions, call);
  const starts = rowStarts(pairs, positions);
  const sites = senderSites(spec, positions);
  return await overDrops(model, metrics, call, async (metric, edits) => {
    const gradients = await gradientsOf(model, metric, { edits }, sites, call);
    return products(spec, senders, difference, toBank(spec, gradients), starts);
  });
}

export interface PartOptions {
  readonly positions: Positions;
  /** Recompute patterns for queries and keys instead of following the slope of the softmax. */
  readonly qkFix: boolean;
}

/** One array a part, [items], of one run. */
export async function partEffects(
  model: Model,
  metric: Metric,
  { positions, qkFix }: PartOptions,
  call: CallOptions,
): Promise<(edits: readonly HookEdit[]) => Promise<Float64Array[]>> {
  const { spec } = model;
  const { pairs } = metric;
  const parts = allParts(spec);
  const values = await partValues(model, pairs, positions, call);
  const changes = qkFix ? await patternChanges(model, pairs, values, positions, call) : undefined;
  const starts = rowStarts(pairs, positions);
  const sites = partSites(spec, positions);
  return async (edits) => {
    const all = changes ? [...sites, ...patternSites(spec)] : sites;
    const gradients = await gradientsOf(model, metric, { edits }, all, call);
    const plain = partProducts(spec, parts, values.difference, gradients, starts);
    if (!changes) return plain;
    const fixed = ({ kind, layer, head }: Part & { kind: "q" | "k" }) =>
      patternProducts(
        spec,
        { kind, layer, head },
        changes[kind][layer] as FloatArray,
        gradients[sites.length + layer] as FloatArray,
        pairs,
      );
    return parts.map((one, i) =>
      one.kind === "v" ? (plain[i] as Float64Array) : fixed({ ...one, kind: one.kind }),
    );
  };
}

/** Of the first metric: every part. */
export async function droppedParts(
  model: Model,
  metric: Metric,
  positions: Positions,
  call: CallOptions,
): Promise<Dropped[]> {
  const run = await partEffects(model, metric, { positions, qkFix: true }, call);
  const [parts] = await overDrops(model, [metric], call, async (_, edits) => await run(edits));
  return parts as Dropped[];
}

/** Runs every metric once a drop. A single layer leaves nothing to drop: its plain values count. */
async function overDrops(
  model: Model,
  metrics: readonly Metric[],
  call: CallOptions,
  run: (metric: Metric, edits: readonly HookEdit[]) => Promise<Float64Array[]>,
): Promise<Dropped[][]> {
  const pairs = metrics[0]?.pairs ?? [];
  const held = model.spec.layers > 1 ? await drops(model, pairs, call) : [];
  const results: Dropped[][] = [];
  for (const metric of metrics) {
    const byDrop: Float64Array[][] = [];
    for (const edits of held.length > 0 ? held : [[]]) byDrop.push(await run(metric, edits));
    const senders = byDrop[0]?.length ?? 0;
    results.push(
      Array.from({ length: senders }, (_, s) =>
        averageDrops(byDrop.map((values) => values[s] as Float64Array)),
      ),
    );
  }
  return results;
}
