// Circuits of edges: against their definition, against circuits of nodes, and by hand.
import type { ModelSpec } from "@keyheads/native";
import { describe, expect, it } from "vitest";
import { mlp } from "../../packages/keyheads/src/attribution/component.ts";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { type Rng, rng } from "../../packages/keyheads/src/statistics/rng.ts";
import type { Item } from "../../packages/keyheads/src/tasks/items.ts";
import { circuit } from "../../packages/keyheads/src/validation/circuit.ts";
import { graphShape } from "../../packages/keyheads/src/validation/circuit-file.ts";
import { edgeCircuit } from "../../packages/keyheads/src/validation/edge-circuit.ts";
import { graphEdges, nodeCircuit } from "../../packages/keyheads/src/validation/graph.ts";
import { familyNames, ids, loadFixture } from "../engine/fixtures.ts";
import { choiceNames, choiceSpec, modelOf, randomModel } from "../engine/random-models.ts";
import { edgeOracle } from "./edge-oracle.ts";

const itemsFor = ({ spec: { vocab } }: Model, lengths = [5, 3]): Item[] =>
  lengths.map((length, n): Item => {
    const reference = ids(length, vocab, n + 1);
    return {
      ...{ id: String(n), line: n, promptIds: reference, answerIds: [n], target: 0, roles: {} },
      ...{ reference, answerId: n, counterfactual: ids(length, vocab, n + 21) },
      counterfactualAnswerId: n + 7,
    };
  });
const edgesOf = (spec: ModelSpec) => [...graphEdges(graphShape(spec))].map(({ name }) => name);
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const drawn = (edges: readonly string[], share: number, random: Rng) =>
  edges.filter(() => random.next() < share);
const options = { metric: "logit-difference", draws: 5 } as const;

/** Of the metric, which is of order 1; measured: 1e-14. */
const rounding = 1e-12;
const close = (a: number, b: number, what = "") => {
  expect(Math.abs(a - b), `${what}: ${a}, ${b}`).toBeLessThan(rounding);
};

const drawnNames = ["drawn a", "drawn b", "drawn c", "drawn d", "drawn e"];
const load = (name: string) =>
  drawnNames.includes(name) ? randomModel(name) : loadFixture(name, "f64");

describe.each([...choiceNames, ...drawnNames, ...familyNames])("%s", (name) => {
  it("runs circuits of edges as they are defined", async () => {
    using model = await load(name);
    const items = itemsFor(model);
    const random = rng(7);
    for (const share of [0.1, 0.5, 0.9]) {
      const edges = drawn(edgesOf(model.spec), share, random);
      const found = await edgeCircuit(model, items, { ...options, edges });
      const inside = new Set(edges);
      const oracle = [];
      for (const item of items) oracle.push(await edgeOracle(model, item, inside));
      close(found.circuit, mean(oracle), `${share}`);
    }
  });

  it("nodes with all edges between them are the circuit of these nodes", async () => {
    using model = await load(name);
    const items = itemsFor(model);
    const { layers, heads } = model.spec;
    const ends = [
      { layer: 0, head: heads - 1 },
      { layer: layers - 1, head: 0 },
    ];
    const chosen = [...(layers * heads > 1 ? ends : ends.slice(1)), mlp(0)];
    const { edges } = nodeCircuit(graphShape(model.spec), chosen);
    const ofNodes = await circuit(model, items, {
      ...options,
      ...{ heads: chosen.slice(0, -1), mlps: [0], ablation: "counterfactual", subsets: 0 },
    });
    const ofEdges = await edgeCircuit(model, items, {
      ...options,
      edges: [...edges].filter(([, { inGraph }]) => inGraph).map(([one]) => one),
    });
    close(ofEdges.circuit, ofNodes.circuit);
    close(ofEdges.full, ofNodes.full);
    // Embeddings are edges too: with none of them the run is that of X_c.
    const [x, y] = items.map(({ counterfactual }) => counterfactual as number[]) as [
      number[],
      number[],
    ];
    const { logits } = await model.forward({ sequences: [x, y], readout: { logits: "all" } });
    const at = (item: number, token: number) => logits?.[item * model.spec.vocab + token] as number;
    close(ofEdges.empty, (at(0, 0) - at(0, 7) + at(1, 1) - at(1, 8)) / 2);
  });
});

it("edges that lead nowhere change nothing", async () => {
  using model = await loadFixture("llama-gqa", "f64");
  const items = itemsFor(model);
  const part = ["input->a0.h1<v>", "a0.h1->m1", "m1->logits"];
  const more = ["input->m0", "m0->a1.h0<q>", "a1.h1->logits", "a0.h0->a1.h1<k>"];
  const one = await edgeCircuit(model, items, { ...options, edges: part });
  const other = await edgeCircuit(model, items, { ...options, edges: [...part, ...more] });
  expect(other.circuit).toBe(one.circuit);
  expect(one.circuit).not.toBe(one.empty);
});

/** One head that writes twice the second dimension into the first, an MLP that does nothing. */
async function byHand(): Promise<Model> {
  const spec: ModelSpec = {
    ...choiceSpec("learned positions with an offset"),
    ...{ layers: 1, dModel: 2, heads: 1, kvHeads: 1, dHead: 2, dMlp: 1, vocab: 4, context: 2 },
    ...{ norm: "rms", normEps: 0, gated: false, tied: false, positionOffset: 0 },
    windows: new Int32Array(1),
    attentionScales: Float64Array.of(1),
  };
  const weights: [string, number[]][] = [
    ["embed.-1", [1, 1, 1, -1, 0, 0, 0, 0]],
    ["posEmbed.-1", [0, 0, 0, 0]],
    ["unembed.-1", [1, 0, 0, 1, 0, 0, 0, 0]],
    ["finalNorm.-1", [1, 1]],
    ...["attnNorm", "mlpNorm"].map((slot): [string, number[]] => [`${slot}.0`, [1, 1]]),
    ...["wq", "wk"].map((slot): [string, number[]] => [`${slot}.0`, [0, 0, 0, 0]]),
    ["wv.0", [0, 1, 0, 0]],
    ["wo.0", [2, 0, 0, 0]],
    ["wUp.0", [0, 0]],
    ["wDown.0", [0, 0]],
  ];
  return await modelOf(spec, new Map(weights.map(([k, v]) => [k, Float64Array.from(v)])));
}

describe("by hand", () => {
  // The stream at END: (1, 1) + (2, 0) on X_r, (1, -1) - (2, 0) on X_c; the metric is the difference of
  // the two dimensions behind a norm that divides by sqrt((x^2 + y^2) / 2).
  const item: Item = {
    ...{ id: "0", line: 1, promptIds: [0], reference: [0], counterfactual: [1] },
    ...{ answerIds: [0], answerId: 0, counterfactualAnswerId: 1, target: 0, roles: {} },
  };
  const through = ["input->a0.h0<v>", "a0.h0->logits"];
  const root5 = Math.sqrt(5);

  it("weighs the two paths to the logits", async () => {
    using model = await byHand();
    const ofHead = await edgeCircuit(model, [item], { edges: through });
    expect(ofHead).toMatchObject({ level: "edges", of: 8, metric: "logit-difference" });
    close(ofHead.full, 2 / root5);
    close(ofHead.empty, 0);
    close(ofHead.circuit, 4 / root5);
    close(ofHead.faithfulness.mean, 2);
    const straight = await edgeCircuit(model, [item], { edges: ["input->logits"] });
    close(straight.circuit, -2);
    close(straight.faithfulness.mean, -root5);
  });

  it("CPR and CMD count edges", async () => {
    using model = await byHand();
    const known = new Map([
      ["input->a0.h0<v>", 3],
      ["a0.h0->logits", 2],
      ["input->logits", -1],
    ]);
    const scores = edgesOf(model.spec).map((component) => ({
      ...{ component, score: known.get(component) ?? 0.5 },
    }));
    const result = await edgeCircuit(model, [item], { edges: through, scores });
    const [signed, absolute] = result.sizes ?? [];
    expect(signed?.points.map(({ k }) => k)).toEqual([0, 0, 0, 0, 0, 0, 0, 1, 4, 8]);
    // F: 0 up to one edge, 2 with the path through the head, 1 with the edge that works against it.
    close(result.cpr as number, (0.3 * 2) / 2 + (0.5 * 3) / 2);
    // By size that edge is the third: F is 1 from four edges on.
    close(absolute?.points[8]?.faithfulness as number, 1);
    close(result.cmd as number, 0.199 + (0.3 * 1) / 2);
  });

  it("completeness and minimality of edges", async () => {
    using model = await byHand();
    const result = await edgeCircuit(model, [item], { edges: through, subsets: 8, random: 3 });
    // Without the path the model keeps what the embedding says; the circuit has nothing then.
    close(result.completeness?.largest as number, 2);
    expect(result.minimality?.components.map(({ effect }) => effect)).toEqual([
      expect.closeTo(4 / root5, 10),
      expect.closeTo(4 / root5, 10),
    ]);
    expect(result.minimality?.random.heads).toHaveLength(3);
  });
});

it("says what it cannot do", async () => {
  using model = await loadFixture("gpt2", "f64");
  const items = itemsFor(model);
  const run = (edges: readonly string[], some: readonly Item[] = items) =>
    edgeCircuit(model, some, { edges });
  await expect(run([])).rejects.toThrow(/without edges does nothing/);
  await expect(run(["m1->m0"])).rejects.toThrow(/there is no edge "m1->m0" in this model; edges/);
  await expect(run(["m0->m1", "m0->m1"])).rejects.toThrow(/m0->m1 is named twice/);
  const [one, other] = items as [Item, Item];
  await expect(run(["m0->m1"], [one, { ...other, counterfactual: [1, 2] }])).rejects.toThrow(
    /task item 1 \(line 1\): its counterfactual has 2 tokens instead of 3; edges carry its values/,
  );
  const { counterfactual: _, ...bare } = one;
  await expect(run(["m0->m1"], [bare])).rejects.toThrow(/it has no counterfactual/);
  const same = items.map((item) => ({ ...item, counterfactual: item.reference }));
  await expect(run(["m0->m1"], same)).rejects.toThrow(/removing everything leaves the metric at/);
});
