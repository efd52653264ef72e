// Circuits as JSON in the layout of EAP-IG's `Graph.to_json` and MIB: `cfg`, `nodes` and `edges` by
// name, each with `in_graph` and a `score`.
import { readFile } from "node:fs/promises";
import type { ModelSpec } from "@keyheads/native";
import { z } from "zod";
import { KeyheadsError } from "../errors.ts";
import {
  type CircuitGraph,
  type GraphEdge,
  type GraphNode,
  type GraphShape,
  graphEdges,
  graphNodes,
} from "./graph.ts";

const score = z.number().nullish();
// Older files have a flag in place of a node's object.
const node = z.union([
  z.boolean().transform((in_graph) => ({ in_graph, score: undefined })),
  z.looseObject({ in_graph: z.boolean(), score }),
]);
const schema = z.looseObject({
  cfg: z.looseObject({
    n_layers: z.int(),
    n_heads: z.int(),
    parallel_attn_mlp: z.boolean().default(false),
  }),
  nodes: z.record(z.string(), node),
  edges: z.record(z.string(), z.looseObject({ in_graph: z.boolean(), score })),
});

export function graphShape(spec: ModelSpec): GraphShape {
  const { layers, heads, dModel, block } = spec;
  return { layers, heads, dModel, parallel: block === "parallel" };
}

/** The text of a circuit file. Nodes without a score have none in the file. */
export function circuitJson({ shape, nodes, edges }: CircuitGraph): string {
  const cfg = {
    n_layers: shape.layers,
    n_heads: shape.heads,
    parallel_attn_mlp: shape.parallel,
    d_model: shape.dModel,
  };
  const part = <T>(of: ReadonlyMap<string, T>, entry: (value: T) => object) =>
    `{${[...of].map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(entry(value))}`)}}`;
  const nodeEntry = ({ inGraph, score }: GraphNode) => ({
    in_graph: inGraph,
    ...(score !== undefined && { score }),
  });
  const edgeEntry = ({ inGraph, score }: GraphEdge) => ({ score, in_graph: inGraph });
  return `{"cfg":${JSON.stringify(cfg)},"nodes":${part(nodes, nodeEntry)},"edges":${part(edges, edgeEntry)}}\n`;
}

/** Throws BAD_ITEMS where the text is no circuit, or one of a model of another shape. */
export function parseCircuit(text: string, spec: ModelSpec, name = "the circuit"): CircuitGraph {
  const fail = (why: string) => new KeyheadsError("BAD_ITEMS", `${name}: ${why}`);
  let value: unknown;
  try {
    // Python writes NaN for what was not scored, which JSON does not have.
    value = JSON.parse(text.replace(/(?<=[:[,]\s*)(?:NaN|-?Infinity)\b/g, "null"));
  } catch (cause) {
    throw fail(`not JSON: ${(cause as Error).message}`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw fail(
      `${issue?.path.join(".") || "the file"}: ${issue?.message}; expected a circuit file in the layout of ` +
        "EAP-IG or MIB, with cfg, nodes and edges",
    );
  }
  const { cfg, nodes, edges } = parsed.data;
  const shape = graphShape(spec);
  const same =
    cfg.n_layers === shape.layers &&
    cfg.n_heads === shape.heads &&
    cfg.parallel_attn_mlp === shape.parallel;
  if (!same) {
    throw fail(
      `it is of a model with ${cfg.n_layers} layers of ${cfg.n_heads} heads` +
        `${cfg.parallel_attn_mlp ? ", in parallel blocks" : ""}; this one has ${shape.layers} of ` +
        `${shape.heads}${shape.parallel ? ", in parallel blocks" : ""}`,
    );
  }
  const known = new Set(graphNodes(shape));
  const strange = Object.keys(nodes).find((one) => !known.has(one));
  if (strange !== undefined) throw fail(`there is no node "${strange}" in this model`);
  const ends = new Set<string>();
  for (const edge of graphEdges(shape)) ends.add(edge.name);
  const loose = Object.keys(edges).find((one) => !ends.has(one));
  if (loose !== undefined) throw fail(`there is no edge "${loose}" in this model`);
  return {
    shape,
    nodes: new Map(
      Object.entries(nodes).map(([key, { in_graph, score }]) => [
        key,
        { inGraph: in_graph, ...(typeof score === "number" && { score }) },
      ]),
    ),
    edges: new Map(
      Object.entries(edges).map(([key, { in_graph, score }]) => [
        key,
        { inGraph: in_graph, score: score ?? 0 },
      ]),
    ),
  };
}

/** Throws BAD_ITEMS where the file cannot be read. */
export async function readCircuit(file: string, spec: ModelSpec): Promise<CircuitGraph> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new KeyheadsError("BAD_ITEMS", `cannot read ${file}: ${(cause as Error).message}`, {
      cause,
    });
  }
  return parseCircuit(text, spec, file);
}
