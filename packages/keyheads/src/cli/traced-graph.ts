/**
 * A traced circuit in the graph that circuit files are about. Scores are positive where they help. Every
 * part also reads the embeddings, which a trace does not follow: without these edges nothing of the
 * prompt would reach the circuit.
 */
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
  const inside = (name: string, from: string, to: string) =>
    found.has(name) || (from === "input" && kept.has(to));
  return {
    shape,
    nodes: new Map(
      graphNodes(shape).map((name): [string, GraphNode] => [
        name,
        { inGraph: kept.has(name) || name === "input" },
      ]),
    ),
    edges: new Map(
      [...graphEdges(shape)].map(({ name, from, to }): [string, GraphEdge] => [
        name,
        { inGraph: inside(name, from, to), score: found.get(name) ?? 0 },
      ]),
    ),
  };
}

function graphName({ kind, layer = 0, head = -1 }: CircuitNode): string {
  return kind === "logits" ? "logits" : nodeName({ layer, head });
}
