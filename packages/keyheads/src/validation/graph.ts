// The graph that circuits are drawn in: nodes are the embedding ("input"), heads ("a0.h1"), MLPs
// ("m0") and "logits"; an edge goes from what writes to the residual stream to what reads it later
// ("a0.h1->m0", "m0->a1.h0<q>"). Names, order and file layout are those of EAP-IG (Hanna et al. 2024)
// and the Mechanistic Interpretability Benchmark (Mueller et al. 2025), so that circuits can be
// exchanged with them.
import type { Component } from "../attribution/component.ts";

export interface GraphShape {
  readonly layers: number;
  readonly heads: number;
  readonly dModel: number;
  /** Attention and MLP of a layer both read what enters the layer. */
  readonly parallel: boolean;
}

export interface GraphNode {
  readonly inGraph: boolean;
  /** Positive helps the answer; absent where it was not measured. */
  readonly score?: number;
}
export interface GraphEdge {
  readonly inGraph: boolean;
  readonly score: number;
}

/** Nodes and edges that are not listed are not in the circuit. */
export interface CircuitGraph {
  readonly shape: GraphShape;
  readonly nodes: ReadonlyMap<string, GraphNode>;
  readonly edges: ReadonlyMap<string, GraphEdge>;
}

/** The name of a head or MLP in the graph. */
export function nodeName({ layer, head }: Component): string {
  return head < 0 ? `m${layer}` : `a${layer}.h${head}`;
}

/** undefined for "input", "logits" and names that no node has. */
export function nodeComponent(name: string): Component | undefined {
  const match = /^(?:a(\d+)\.h(\d+)|m(\d+))$/.exec(name);
  if (!match) return undefined;
  const [, layer, head, mlp] = match;
  return mlp === undefined
    ? { layer: Number(layer), head: Number(head) }
    : { layer: Number(mlp), head: -1 };
}

/** All nodes in the order in which the model computes them. */
export function graphNodes({ layers, heads }: GraphShape): string[] {
  const layer = (l: number) => [...range(heads).map((h) => `a${l}.h${h}`), `m${l}`];
  return ["input", ...range(layers).flatMap(layer), "logits"];
}

export interface EdgeEnds {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** Of edges to heads: which of its inputs. */
  readonly input?: "q" | "k" | "v";
}

/** All edges, by what reads them. */
export function* graphEdges({ layers, heads, parallel }: GraphShape): Generator<EdgeEnds> {
  const written = ["input"];
  for (let layer = 0; layer < layers; ++layer) {
    const own = range(heads).map((head) => `a${layer}.h${head}`);
    const mlp = `m${layer}`;
    for (const from of written) {
      for (const to of own) {
        for (const input of ["q", "k", "v"] as const) {
          yield { name: `${from}->${to}<${input}>`, from, to, input };
        }
      }
      if (parallel) yield { name: `${from}->${mlp}`, from, to: mlp };
    }
    written.push(...own);
    if (!parallel) for (const from of written) yield { name: `${from}->${mlp}`, from, to: mlp };
    written.push(mlp);
  }
  for (const from of written) yield { name: `${from}->logits`, from, to: "logits" };
}

/**
 * The graph of a set of heads and MLPs: these and the embedding, and all edges between them.
 * `scores` by node name.
 */
export function nodeCircuit(
  shape: GraphShape,
  circuit: readonly Component[],
  scores: ReadonlyMap<string, number> = new Map(),
): CircuitGraph {
  const inside = new Set(["input", "logits", ...circuit.map(nodeName)]);
  const nodes = graphNodes(shape).map((name): [string, GraphNode] => {
    const score = scores.get(name);
    return [name, { inGraph: inside.has(name), ...(score !== undefined && { score }) }];
  });
  const edges = new Map<string, GraphEdge>();
  for (const { name, from, to } of graphEdges(shape)) {
    edges.set(name, { inGraph: inside.has(from) && inside.has(to), score: 0 });
  }
  return { shape, nodes: new Map(nodes), edges };
}

/**
 * The circuit with the scores of edges that were measured, which are its edges now. Names are those
 * of results: "embed", "3.1", "mlp 3"; "4.0.q", "mlp 4", "logits". Query heads that share keys and
 * values share the edges to them. `harm` is the sign of an effect that harms the answer.
 */
export function withEdges(
  graph: CircuitGraph,
  edges: readonly { readonly from: string; readonly to: string; readonly effect: number }[],
  { kvHeads, harm }: { readonly kvHeads: number; readonly harm: 1 | -1 },
): CircuitGraph {
  const { heads } = graph.shape;
  const plain = (name: string) => {
    if (name === "embed") return "input";
    return name.replace(/^mlp (\d+)$/, "m$1").replace(/^(\d+)\.(\d+)$/, "a$1.h$2");
  };
  const readers = (to: string): string[] => {
    const [, layer, head, input] = /^(\d+)\.(\d+)\.([qkv])$/.exec(to) ?? [];
    if (input === undefined) return [plain(to)];
    const group = input === "q" ? 1 : heads / kvHeads;
    return range(group).map((i) => `a${layer}.h${Number(head) * group + i}<${input}>`);
  };
  const scored = new Map<string, GraphEdge>();
  for (const { from, to, effect } of edges) {
    for (const reader of readers(to)) {
      scored.set(`${plain(from)}->${reader}`, { inGraph: true, score: harm * effect });
    }
  }
  const all = [...graph.edges.keys()].map((name): [string, GraphEdge] => [
    name,
    scored.get(name) ?? { inGraph: false, score: 0 },
  ]);
  return { ...graph, edges: new Map(all) };
}

/** The heads and MLPs of a circuit. */
export function circuitComponents({ nodes }: CircuitGraph): Component[] {
  return [...nodes].flatMap(([name, { inGraph }]) => {
    const component = nodeComponent(name);
    return inGraph && component ? [component] : [];
  });
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
