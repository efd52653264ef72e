/** A traced circuit in the graph that circuit files are about. Scores are positive where they help. */
import type { ModelSpec } from "@keyheads/native";
import type { CircuitNode, TracedCircuit } from "../attribution/paths/trace.ts";
import { graphShape } from "../validation/circuit-file.ts";
import {
  type CircuitGraph,
  type GraphEdge,
  type GraphNode,
  graphEdges,
  graphNodes,
  nodeName,
} from "../validation/graph.ts";

export function graphOfTrace({ nodes, edges }: TracedCircuit, spec: ModelSpec): CircuitGraph {
  const shape = graphShape(spec);
  const names = new Map(nodes.map((node) => [node.name, graphName(node)]));
  const found = new Map(
    edges.map(({ from, to, input, effect }) => {
      const into = ["q", "k", "v"].includes(input) ? `<${input}>` : "";
      return [`${names.get(from)}->${names.get(to)}${into}`, -effect];
    }),
  );
  const kept = new Set(names.values());
  return {
    shape,
    nodes: new Map(
      graphNodes(shape).map((name): [string, GraphNode] => [name, { inGraph: kept.has(name) }]),
    ),
    edges: new Map(
      [...graphEdges(shape)].map(({ name }): [string, GraphEdge] => [
        name,
        { inGraph: found.has(name), score: found.get(name) ?? 0 },
      ]),
    ),
  };
}

function graphName({ kind, layer = 0, head = -1 }: CircuitNode): string {
  return kind === "logits" ? "logits" : nodeName({ layer, head });
}
