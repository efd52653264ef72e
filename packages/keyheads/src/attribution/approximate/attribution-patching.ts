// Effect of replacing a sender, to first order: (value on X_c - value on X_r) . gradient on X_r.
//
// Attribution patching (Nanda 2023, neelnanda.io/mechanistic-interpretability/attribution-patching;
// Syed et al. 2023, arXiv 2310.10348, equation 2) takes the true gradient and approximates activation
// patching. RelP (Jafari et al. 2025, arXiv 2508.21258) takes that of layer-wise relevance propagation
// in its place: patterns and norms' scales constant, activations as secants, half to each factor of a
// gated product. The direct-path gradient holds attention's outputs (and MLPs', where those are frozen)
// constant, so that it approximates path patching.
import type { BackwardRule } from "@keyheads/native";
import type { CallOptions, Model } from "../../model.ts";
import type { Component } from "../component.ts";
import type { MlpPath, Positions } from "../options.ts";
import { gradientsOf, type Metric } from "./metric.ts";
import { products, rowStarts, senderDifferences, senderSites, toBank } from "./sender-values.ts";

export type FirstOrder = "atp" | "relp" | "direct-gradient";

/** Derivatives that a method takes in place of the true ones. */
export function rulesOf(method: FirstOrder, mlpPath: MlpPath): BackwardRule[] {
  switch (method) {
    case "atp":
      return [];
    case "relp":
      return ["constant-patterns", "constant-norm-scales", "secant-activations"];
    case "direct-gradient":
      return mlpPath === "freeze" ? ["constant-z", "constant-mlps"] : ["constant-z"];
  }
}

/** One array a metric and sender, [items]: what each metric would change by. */
export async function attributionPatching(
  model: Model,
  metrics: readonly Metric[],
  senders: readonly Component[],
  { positions, rules }: { positions: Positions; rules: readonly BackwardRule[] },
  call: CallOptions,
): Promise<Float64Array[][]> {
  const { spec } = model;
  const pairs = metrics[0]?.pairs ?? [];
  const difference = await senderDifferences(model, pairs, positions, call);
  const starts = rowStarts(pairs, positions);
  const results: Float64Array[][] = [];
  for (const metric of metrics) {
    const sites = senderSites(spec, positions);
    const gradients = await gradientsOf(model, metric, { rules }, sites, call);
    results.push(products(spec, senders, difference, toBank(spec, gradients), starts));
  }
  return results;
}
