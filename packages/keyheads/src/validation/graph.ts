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
 * `scores` by the names of nodes and edges.
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
    edges.set(name, {
      inGraph: inside.has(from) && inside.has(to),
      score: scores.get(name) ?? 0,
    });
  }
  return { shape, nodes: new Map(nodes), edges };
}

/** An edge as results name it: "embed", "3.1", "mlp 3"; "4.0.q", "mlp 4", "logits". */
export interface MeasuredEdge {
  readonly from: string;
  readonly to: string;
  readonly effect: number;
}

/**
 * Scores of the graph's edges from measured ones. Query heads that share keys and values share the
 * edges to them. `harm` is the sign of an effect that harms the answer.
 */
export function edgeScores(
  edges: readonly MeasuredEdge[],
  { heads, kvHeads, harm }: { readonly heads: number; readonly kvHeads: number; harm: 1 | -1 },
): Map<string, number> {
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
  return new Map(
    edges.flatMap(({ from, to, effect }) =>
      readers(to).map((reader): [string, number] => [`${plain(from)}->${reader}`, harm * effect]),
    ),
  );
}

/** The graph of a circuit of edges: these, and the nodes at their ends. Scores by name. */
export function edgeGraphOf(
  shape: GraphShape,
  circuit: readonly string[],
  scores: ReadonlyMap<string, number>,
): CircuitGraph {
  const inside = new Set(circuit);
  const edges = new Map<string, GraphEdge>();
  const ends = new Set(["input", "logits"]);
  for (const { name, from, to } of graphEdges(shape)) {
    if (inside.has(name)) ends.add(from).add(to);
    edges.set(name, { inGraph: inside.has(name), score: scores.get(name) ?? 0 });
  }
  const nodes = graphNodes(shape).map((name): [string, GraphNode] => [
    name,
    { inGraph: ends.has(name) },
  ]);
  return { shape, nodes: new Map(nodes), edges };
}

/**
 * The circuit's edges where they are not simply all that its nodes have between them: then it is a
 * circuit of edges. `undefined` is a circuit of nodes.
 */
export function chosenEdges({ shape, nodes, edges }: CircuitGraph): string[] | undefined {
  const kept = [...edges].flatMap(([name, { inGraph }]) => (inGraph ? [name] : []));
  const inside = (node: string) =>
    node === "input" || node === "logits" || nodes.get(node)?.inGraph === true;
  const between = [...graphEdges(shape)].filter(({ from, to }) => inside(from) && inside(to));
  const whole = between.every(({ name }) => edges.get(name)?.inGraph === true);
  return kept.length === 0 || (whole && kept.length === between.length) ? undefined : kept;
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
