// Every method on a ground-truth model: how well the size of its effects tells the circuit's parts, and
// its edges, from everything else.
import { join } from "node:path";
import { exactEdgeEffects } from "../attribution/edges/identify-edges.ts";
import { identify } from "../attribution/identify.ts";
import type { IdentifyOptions } from "../attribution/options.ts";
import { evaluateItems } from "../evaluation/evaluate.ts";
import { Model } from "../model.ts";
import type { IdentifyResult } from "../results.ts";
import { readItems } from "../tasks/items.ts";
import type { Blindness } from "./case.ts";
import type { GroundTruth } from "./make.ts";
import { averagePrecision, rocAuc } from "./ranking.ts";

export interface JudgedMethod {
  readonly name: string;
  /** What it may miss a part for. */
  readonly blindTo: readonly Blindness[];
  readonly options: IdentifyOptions;
}

const all = { positions: "all" } as const;
const keep = { excludeUnchanged: false } as const;
export const judgedMethods: readonly JudgedMethod[] = [
  { name: "exact", blindTo: ["direct"], options: { method: "exact" } },
  {
    name: "direct-gradient",
    blindTo: ["direct", "gradient"],
    options: { method: "direct-gradient" },
  },
  { name: "activation", blindTo: ["total"], options: { method: "activation", ...all } },
  { name: "atp", blindTo: ["total", "gradient"], options: { method: "atp", ...all } },
  {
    name: "atp-star",
    blindTo: ["gradient"],
    options: { method: "atp-star", ...all, parts: false },
  },
  // RelP holds attention patterns constant.
  {
    name: "relp",
    blindTo: ["total", "gradient", "pattern"],
    options: { method: "relp", ...all },
  },
  { name: "eap", blindTo: ["total", "gradient"], options: { method: "eap" } },
  { name: "eap-ig", blindTo: ["total", "steps"], options: { method: "eap-ig" } },
  {
    name: "eap-ig, activations",
    blindTo: ["total"],
    options: { method: "eap-ig", interpolate: "activations" },
  },
];

/**
 * An effect of less than this share of the total effect counts as none: all these tie. The parts that a
 * measure sees have a third or more, what is no part less than 0.3 %, what another part makes up for
 * up to 4 % (it still moves the norms).
 */
export const leastShare = 0.05;

export interface Judged {
  readonly method: string;
  readonly of: "parts" | "edges";
  readonly averagePrecision: number;
  readonly rocAuc: number;
}

/** Accuracy of the model, and a judgement a method; edges where the method has them. */
export async function judge(
  folder: string,
  truth: GroundTruth,
): Promise<{ accuracy: number; judged: Judged[] }> {
  using model = await Model.load(folder);
  const { vocab, context } = model.spec;
  const set = await readItems(join(folder, "items.jsonl"), undefined, { vocab, context });
  const { correct } = await evaluateItems(model, set.items, {});
  const judged: Judged[] = [];
  const add = (
    method: string,
    of: "parts" | "edges",
    effects: ReadonlyMap<string, number>,
    totalEffect: number,
  ) => {
    const members = of === "parts" ? partNames(truth) : edgeNames(truth);
    const least = leastShare * Math.abs(totalEffect);
    const scores = [...effects.values()].map((effect) =>
      Math.abs(effect) < least ? 0 : Math.abs(effect),
    );
    const belongs = [...effects.keys()].map((name) => members.has(name));
    judged.push({
      ...{ method, of },
      averagePrecision: averagePrecision(scores, belongs),
      rocAuc: rocAuc(scores, belongs),
    });
  };
  let total = Number.NaN;
  for (const { name, options } of judgedMethods) {
    const edges = options.method?.startsWith("eap") ? { edges: 2 ** 31 } : {};
    const result = await identify(model, set, {
      ...options,
      ...edges,
      draws: 1,
      ...keep,
    });
    total = result.totalEffect;
    add(name, "parts", partEffects(result), total);
    if (result.edges) add(name, "edges", edgeEffects(result.edges), total);
  }
  add("exact edges", "edges", edgeEffects(await exactEdgeEffects(model, set)), total);
  return { accuracy: correct.filter((right) => right === 1).length / correct.length, judged };
}

function partNames({ circuit }: GroundTruth): Set<string> {
  return new Set([
    ...circuit.heads.map(({ head }) => head),
    ...circuit.mlps.map(({ mlp }) => `mlp ${mlp}`),
  ]);
}

const edgeName = ({ from, to }: { from: string; to: string }) => `${from} -> ${to}`;
const edgeNames = ({ circuit }: GroundTruth) => new Set(circuit.edges.map(edgeName));

function partEffects({ heads, mlps }: IdentifyResult): Map<string, number> {
  return new Map([
    ...heads.flatMap((row, layer) =>
      row.map((effect, head): [string, number] => [`${layer}.${head}`, effect]),
    ),
    ...mlps.map((effect, layer): [string, number] => [`mlp ${layer}`, effect]),
  ]);
}

function edgeEffects(
  edges: readonly { from: string; to: string; effect: number }[],
): Map<string, number> {
  return new Map(edges.map((edge) => [edgeName(edge), edge.effect]));
}
