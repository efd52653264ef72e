import type { ModelSpec } from "@keyheads/native";
import { describe, expect, it } from "vitest";
import {
  circuitJson,
  graphShape,
  parseCircuit,
} from "../../packages/keyheads/src/validation/circuit-file.ts";
import {
  chosenEdges,
  circuitComponents,
  edgeGraphOf,
  edgeScores,
  graphEdges,
  graphNodes,
  nodeCircuit,
} from "../../packages/keyheads/src/validation/graph.ts";

const shape = { layers: 2, heads: 2, dModel: 8, parallel: false };
const spec = { layers: 2, heads: 2, dModel: 8, block: "sequential" } as ModelSpec;

describe("the graph", () => {
  it("has the nodes and edges of the layout that EAP-IG writes, in its order", () => {
    expect(graphNodes(shape)).toEqual("input a0.h0 a0.h1 m0 a1.h0 a1.h1 m1 logits".split(" "));
    const names = [...graphEdges(shape)].map(({ name }) => name);
    expect(names.slice(0, 10)).toEqual([
      ..."input->a0.h0<q> input->a0.h0<k> input->a0.h0<v>".split(" "),
      ..."input->a0.h1<q> input->a0.h1<k> input->a0.h1<v>".split(" "),
      ..."input->m0 a0.h0->m0 a0.h1->m0 input->a1.h0<q>".split(" "),
    ]);
    // GPT-2 small: 32,491 edges, a number of the paper.
    expect([...graphEdges({ ...shape, layers: 12, heads: 12 })]).toHaveLength(32491);
    const parallel = [...graphEdges({ ...shape, parallel: true })].map(({ name }) => name);
    expect(parallel).not.toContain("a0.h0->m0");
    expect(parallel).toContain("a0.h0->m1");
  });
});

it("edges of a result become those of the graph, shared keys and values those of all heads", () => {
  const edges = [
    { from: "embed", to: "0.1.q", effect: -2 },
    { from: "0.1", to: "1.0.k", effect: 0.5 },
    { from: "mlp 0", to: "mlp 1", effect: -1 },
    { from: "1.1", to: "logits", effect: -3 },
  ];
  expect(Object.fromEntries(edgeScores(edges, { heads: 2, kvHeads: 1, harm: -1 }))).toEqual({
    "input->a0.h1<q>": 2,
    "a0.h1->a1.h0<k>": -0.5,
    "a0.h1->a1.h1<k>": -0.5,
    "m0->m1": 1,
    "a1.h1->logits": 3,
  });
});

it("a circuit of edges has the nodes at their ends, and is told from one of nodes", () => {
  const circuit = ["input->a0.h1<v>", "a0.h1->m1", "m1->logits"];
  const graph = edgeGraphOf(shape, circuit, new Map([["a0.h1->m1", 2]]));
  expect(circuitComponents(graph)).toEqual([
    { layer: 0, head: 1 },
    { layer: 1, head: -1 },
  ]);
  expect(graph.edges.get("a0.h1->m1")).toEqual({ inGraph: true, score: 2 });
  expect(graph.edges.size).toBe([...graphEdges(shape)].length);
  const read = parseCircuit(circuitJson(graph), spec);
  expect(chosenEdges(read)).toEqual(circuit);
  const nodes = nodeCircuit(shape, circuitComponents(graph));
  expect(chosenEdges(nodes)).toBeUndefined();
  const [first] = [...nodes.edges].filter(([, { inGraph }]) => inGraph).map(([name]) => name);
  const less = new Map(nodes.edges).set(first as string, { inGraph: false, score: 0 });
  expect(chosenEdges({ ...nodes, edges: less })).not.toContain(first);
  // Files of nodes alone name no edges.
  expect(chosenEdges({ ...nodes, edges: new Map() })).toBeUndefined();
});

describe("a circuit file", () => {
  const circuit = [
    { layer: 0, head: 1 },
    { layer: 1, head: -1 },
  ];
  const graph = nodeCircuit(shape, circuit, new Map([["a0.h1", 0.5]]));

  it("has cfg, nodes and edges with scores", () => {
    const file = JSON.parse(circuitJson(graph));
    expect(Object.keys(file)).toEqual(["cfg", "nodes", "edges"]);
    expect(file.cfg).toEqual({ n_layers: 2, n_heads: 2, parallel_attn_mlp: false, d_model: 8 });
    expect(file.nodes["a0.h1"]).toEqual({ in_graph: true, score: 0.5 });
    expect(file.nodes.m0).toEqual({ in_graph: false });
    expect(file.edges["a0.h1->m1"]).toEqual({ score: 0, in_graph: true });
    expect(file.edges["a0.h0->m1"]).toEqual({ score: 0, in_graph: false });
  });

  it("is read back", () => {
    const read = parseCircuit(circuitJson(graph), spec);
    expect(read).toEqual(graph);
    expect(circuitComponents(read)).toEqual(circuit);
    expect(graphShape(spec)).toEqual(shape);
  });

  it("may have what Python writes: NaN, flags as nodes, edges left out, more keys", () => {
    const read = parseCircuit(
      '{"cfg": {"n_layers": 2, "n_heads": 2, "act": "gelu"}, "nodes": {"m0": true, "m1": ' +
        '{"in_graph": false, "score": NaN, "neurons_scores": [NaN, 1.0, -Infinity]}}, ' +
        '"edges": {"input->m0": {"score": -1.5, "in_graph": true}}, "neurons": {}}',
      spec,
    );
    expect(circuitComponents(read)).toEqual([{ layer: 0, head: -1 }]);
    expect(read.nodes.get("m1")).toEqual({ inGraph: false });
    expect(read.edges.get("input->m0")).toEqual({ inGraph: true, score: -1.5 });
  });

  it("of another model, or none at all, is refused", () => {
    const cfg = '{"cfg": {"n_layers": 2, "n_heads": 2}, ';
    expect(() => parseCircuit("{", spec)).toThrow(/not JSON/);
    expect(() => parseCircuit("{}", spec)).toThrow(/cfg/);
    expect(() =>
      parseCircuit(circuitJson({ ...graph, shape: { ...shape, heads: 3 } }), spec),
    ).toThrow(/a model with 2 layers of 3 heads; this one has 2 of 2/);
    expect(() => parseCircuit(`${cfg}"nodes": {"a5.h0": true}, "edges": {}}`, spec)).toThrow(
      /no node "a5.h0"/,
    );
    const edge = '"nodes": {}, "edges": {"m1->m0": {"in_graph": true, "score": 1}}}';
    expect(() => parseCircuit(cfg + edge, spec)).toThrow(/no edge "m1->m0"/);
  });
});
