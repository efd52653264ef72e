// The hand-built models do their tasks, and the exact methods find in them what they are said to hold,
// and nothing else.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { exactEdgeEffects } from "../../packages/keyheads/src/attribution/edges/identify-edges.ts";
import { identify } from "../../packages/keyheads/src/attribution/identify.ts";
import { evaluateItems } from "../../packages/keyheads/src/evaluation/evaluate.ts";
import { leastShare } from "../../packages/keyheads/src/ground-truth/judge.ts";
import {
  type GroundTruth,
  type GroundTruthOptions,
  groundTruthCases,
  writeGroundTruth,
} from "../../packages/keyheads/src/ground-truth/make.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { readItems } from "../../packages/keyheads/src/tasks/items.ts";

const folder = mkdtempSync(join(tmpdir(), "keyheads-truth-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function open(name: string, options: GroundTruthOptions) {
  const out = join(folder, `${name}-${JSON.stringify(options).replace(/\W/g, "")}`);
  const truth = await writeGroundTruth(name, out, { ...options, items: 8 });
  const model = await Model.load(out);
  const { vocab, context } = model.spec;
  const items = await readItems(join(out, "items.jsonl"), undefined, { vocab, context });
  return { truth, model, items };
}

const named = ({ circuit }: GroundTruth, kind: "direct" | "total") =>
  [
    ...circuit.heads.filter((part) => part[kind]).map(({ head }) => head),
    ...circuit.mlps.filter((part) => part[kind]).map(({ mlp }) => `mlp ${mlp}`),
  ].sort();

const found = ({ heads, mlps, totalEffect }: Awaited<ReturnType<typeof identify>>) =>
  [
    ...heads.flatMap((row, layer) =>
      row.map((effect, head) => ({ name: `${layer}.${head}`, effect })),
    ),
    ...mlps.map((effect, layer) => ({ name: `mlp ${layer}`, effect })),
  ]
    .filter(({ effect }) => Math.abs(effect / totalEffect) > leastShare)
    .map(({ name }) => name)
    .sort();

describe.each(groundTruthCases)("%s", (name) => {
  it("does its task through its circuit alone", async () => {
    const options = { layers: 4, heads: 4, kvHeads: 2, seed: 1, noise: 0.05 };
    const { truth, model, items } = await open(name, options);
    using _ = model;
    const { correct } = await evaluateItems(model, items.items, {});
    expect(correct.filter((right) => right === 1)).toHaveLength(items.items.length);
    const direct = await identify(model, items, { draws: 1 });
    expect(found(direct)).toEqual(named(truth, "direct"));
    const total = await identify(model, items, {
      method: "activation",
      positions: "all",
      draws: 1,
    });
    expect(found(total)).toEqual(named(truth, "total"));
    const edges = await exactEdgeEffects(model, items);
    const strong = edges.filter(({ effect }) => Math.abs(effect / direct.totalEffect) > leastShare);
    const names = (list: readonly { from: string; to: string }[]) =>
      list.map(({ from, to }) => `${from} -> ${to}`).sort();
    expect(names(strong)).toEqual(names(truth.circuit.edges.filter((edge) => edge.total)));
  });
});
