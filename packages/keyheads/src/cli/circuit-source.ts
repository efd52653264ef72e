/** What `circuit` is asked to weigh: heads and MLPs, or edges, and the scores that its source has. */
import type { ModelSpec } from "@keyheads/native";
import type { Component } from "../attribution/component.ts";
import { KeyheadsError } from "../errors.ts";
import { graphShape, readCircuit } from "../validation/circuit-file.ts";
import {
  type CircuitGraph,
  chosenEdges,
  circuitComponents,
  edgeGraphOf,
  edgeScores,
  type GraphShape,
  graphEdges,
  nodeCircuit,
  nodeComponent,
  nodeName,
} from "../validation/graph.ts";
import type { Scored } from "../validation/size-curve.ts";
import {
  type ComponentValues,
  chosenComponents,
  type MeasuredEdges,
  measuredEdges,
  scoresOf,
} from "./components.ts";

export interface CircuitValues extends ComponentValues {
  readonly circuit: string | undefined;
  readonly level: "nodes" | "edges" | undefined;
  /** How many of the strongest edges of `from`. */
  readonly edges: number | undefined;
}

export type CircuitSource =
  | {
      readonly level: "nodes";
      readonly chosen: readonly Component[];
      readonly scores: readonly Scored[];
    }
  | {
      readonly level: "edges";
      readonly chosen: readonly string[];
      /** Of all edges, or none: why is said then. */
      readonly scores: readonly Scored<string>[];
      readonly why?: string;
    };

/** Throws USAGE for options that contradict each other, and where nothing is named. */
export async function readSource(values: CircuitValues, spec: ModelSpec): Promise<CircuitSource> {
  const { circuit, from, level, edges } = values;
  if (circuit === undefined) {
    if (edges !== undefined) return await strongestEdges(values, edges, spec);
    if (level === "edges") {
      throw new KeyheadsError(
        "USAGE",
        "--level edges needs --circuit, a file with edges, or --from a result of eap or eap-ig with --edges N",
      );
    }
    const { heads, mlps } = await chosenComponents(values, spec);
    return {
      level: "nodes",
      chosen: [...heads, ...mlps.map((layer) => ({ layer, head: -1 }))],
      scores: from === undefined ? [] : await scoresOf(from),
    };
  }
  for (const other of ["heads", "mlps", "from", "edges"] as const) {
    if (values[other] === undefined) continue;
    throw new KeyheadsError("USAGE", `--circuit excludes --${other}; give one of them`);
  }
  const graph = await readCircuit(circuit, spec);
  const named = chosenEdges(graph);
  if ((level ?? (named ? "edges" : "nodes")) === "edges") {
    return { level: "edges", chosen: named ?? keptEdges(graph), ...scoresOfFile(graph) };
  }
  const scores = [...graph.nodes].flatMap(([name, { score }]) => {
    const component = nodeComponent(name);
    return component && score !== undefined ? [{ component, score }] : [];
  });
  return { level: "nodes", chosen: circuitComponents(graph), scores };
}

/** The circuit as a file, with the scores that are known. */
export async function sourceGraph(
  source: CircuitSource,
  { from }: Pick<CircuitValues, "from">,
  mlpsKept: boolean,
  spec: ModelSpec,
): Promise<CircuitGraph> {
  const shape = graphShape(spec);
  const ofEdges = from === undefined ? undefined : await measuredEdges(from);
  const scores = ofEdges ? scoresByName(ofEdges, spec) : new Map<string, number>();
  if (source.level === "edges") {
    for (const { component, score } of source.scores) scores.set(component, score);
    return edgeGraphOf(shape, source.chosen, scores);
  }
  for (const { component, score } of source.scores) scores.set(nodeName(component), score);
  const mlps = Array.from({ length: spec.layers }, (_, layer) => ({ layer, head: -1 }));
  return nodeCircuit(shape, [...source.chosen, ...(mlpsKept ? mlps : [])], scores);
}

async function strongestEdges(
  values: CircuitValues,
  count: number,
  spec: ModelSpec,
): Promise<CircuitSource> {
  const { from, heads, mlps, top, level } = values;
  if (from === undefined || [heads, mlps, top].some((value) => value !== undefined)) {
    throw new KeyheadsError(
      "USAGE",
      "--edges takes the strongest edges of --from, a result of `identify --method eap` or eap-ig, without --heads, --mlps and --top",
    );
  }
  if (level === "nodes") throw new KeyheadsError("USAGE", "--edges is about --level edges");
  const measured = await measuredEdges(from);
  if (!measured) {
    throw new KeyheadsError(
      "USAGE",
      `${from} has no edges: make it with \`identify --method eap\` or eap-ig`,
    );
  }
  const scores = scoresByName(measured, spec);
  const ranked = [...scores].sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
  if (count > ranked.length) {
    throw new KeyheadsError(
      "USAGE",
      `--edges ${count}: ${from} has ${ranked.length} edges; make it with \`identify --edges ${count}\``,
    );
  }
  return {
    level: "edges",
    chosen: ranked.slice(0, count).map(([name]) => name),
    ...scoresOfAll(
      scores,
      graphShape(spec),
      `${from} has the effects of ${measured.edges.length} of ${measured.count} edges; ` +
        `make it with \`identify --edges ${measured.count}\` for curves over size`,
    ),
  };
}

function scoresByName({ edges, harm }: MeasuredEdges, { heads, kvHeads }: ModelSpec) {
  return edgeScores(edges, { heads, kvHeads, harm });
}

function keptEdges({ shape, edges }: CircuitGraph): string[] {
  return [...graphEdges(shape)].flatMap(({ name }) => (edges.get(name)?.inGraph ? [name] : []));
}

/** Scores of the circuit's own edges alone, as a trace writes them, rank no others. */
function scoresOfFile({ shape, edges }: CircuitGraph) {
  const why = "the file has no scores of edges outside the circuit: no curves over size";
  const outside = [...edges.values()].filter(({ inGraph }) => !inGraph);
  if (outside.every(({ score }) => score === 0)) return { scores: [], why };
  return scoresOfAll(new Map([...edges].map(([name, { score }]) => [name, score])), shape, why);
}

function scoresOfAll(
  scores: ReadonlyMap<string, number>,
  shape: GraphShape,
  why: string,
): { scores: Scored<string>[]; why?: string } {
  const names = [...graphEdges(shape)];
  if (!names.every(({ name }) => scores.has(name))) return { scores: [], why };
  return {
    scores: names.map(({ name }) => ({ component: name, score: scores.get(name) as number })),
  };
}
