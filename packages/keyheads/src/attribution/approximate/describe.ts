// What approximations give beside heads and MLPs, in the shape of results.json: queries, keys and
// values, and edges.
import type { ModelSpec } from "@keyheads/native";
import type { EdgeEffect, IdentifyResult, PartEffects } from "../../results.ts";
import { clusterDraws, numberClusters, ratioOfMeans } from "../../statistics/bootstrap.ts";
import { type EdgeGraph, edgeCount, receiverName, senderName } from "../edges/graph.ts";
import type { IdentifyOptions } from "../options.ts";
import { meanPresent } from "../summary.ts";
import type { Approximated } from "./approximate.ts";
import { type PartKind, partKinds } from "./attention-parts.ts";

const defaultEdges = 100;

export function describeApproximated(
  spec: ModelSpec,
  { parts, edges }: Approximated,
  clusterNames: readonly string[],
  options: IdentifyOptions,
): Pick<IdentifyResult, "parts" | "edges" | "edgeCount"> {
  const clusters = numberClusters(clusterNames);
  const draws = clusterDraws(clusters.count, options);
  const ones = new Float64Array(clusterNames.length).fill(1);
  const estimate = (values: Float64Array) => ratioOfMeans(values, ones, clusters, draws);
  const ofKind = (kind: PartKind): PartEffects => {
    const layers = Array.from({ length: spec.layers }, (_, layer) =>
      (parts?.parts ?? []).flatMap((part, i) =>
        part.kind === kind && part.layer === layer
          ? [estimate(parts?.effects[i] as Float64Array)]
          : [],
      ),
    );
    return {
      effects: layers.map((row) => row.map((one) => one.estimate)),
      ci: layers.map((row) => row.map(({ low, high }) => [low, high] as const)),
    };
  };
  return {
    ...(parts && {
      parts: Object.fromEntries(partKinds.map((kind) => [kind, ofKind(kind)])) as Record<
        PartKind,
        PartEffects
      >,
    }),
    ...(edges && {
      edgeCount: edgeCount(edges.graph),
      edges: strongest(edges.graph, edges.effects, options.edges ?? defaultEdges).map(
        ({ effects, ...names }): EdgeEffect => {
          const { estimate: effect, low, high } = estimate(effects);
          return { ...names, effect, ci: [low, high] };
        },
      ),
    }),
  };
}

/** The edges with the largest mean effects, of either sign. */
function strongest(graph: EdgeGraph, effects: readonly Float64Array[], count: number) {
  const means = Float64Array.from(effects, (values) => Math.abs(meanPresent(values)));
  const names = edgeNames(graph);
  return [...means.keys()]
    .sort((a, b) => (means[b] as number) - (means[a] as number))
    .slice(0, count)
    .map((edge) => ({
      ...(names[edge] as (typeof names)[0]),
      effects: effects[edge] as Float64Array,
    }));
}

/** Names of both ends of every edge, in order. */
export function edgeNames({ senders, receivers }: EdgeGraph): { from: string; to: string }[] {
  return receivers.flatMap((receiver) =>
    senders
      .slice(0, receiver.reads)
      .map((sender) => ({ from: senderName(sender), to: receiverName(receiver) })),
  );
}
