// Edges: exact ones against path patching, EAP against AtP and against slopes of exact edges, EAP-IG's
// sums, and AtP*'s two fixes by their definitions.
import { describe, expect, it } from "vitest";
import { exactEdgeEffects } from "../../packages/keyheads/src/attribution/edges/identify-edges.ts";
import { identify } from "../../packages/keyheads/src/attribution/identify.ts";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import type { Model } from "../../packages/keyheads/src/model.ts";
import type { Item } from "../../packages/keyheads/src/tasks/items.ts";
import { ids, loadFixture } from "../engine/fixtures.ts";
import { metricOf } from "./metric-of.ts";

const keep = { excludeUnchanged: false, draws: 20, effect: "logit-difference" } as const;
const every = 2 ** 31;

const itemsFor = ({ spec: { vocab } }: Model): Item[] =>
  [1, 2].map((n): Item => {
    const reference = ids(5, vocab, n);
    return {
      ...{ id: String(n), line: n, promptIds: reference, answerIds: [n], target: 0, roles: {} },
      ...{ reference, answerId: n, counterfactual: ids(5, vocab, n + 20) },
      counterfactualAnswerId: n + 7,
    };
  });

const edgesOf = (edges: readonly { from: string; to: string; effect: number }[] = []) =>
  new Map(edges.map(({ from, to, effect }) => [`${from} -> ${to}`, effect]));

/** Of the largest; measured: 2e-12. */
const rounding = 2e-11;

function close(a: readonly number[], b: readonly number[], tolerance = rounding): void {
  const size = Math.max(...b.map(Math.abs));
  expect(size).toBeGreaterThan(1e-4);
  expect(a).toHaveLength(b.length);
  a.forEach((value, i) => {
    expect(Math.abs(value - (b[i] as number)) / size, String(i)).toBeLessThan(tolerance);
  });
}

const models = ["llama-gqa", "parallel with a shared norm, adjacent pairs"];

describe.each([...models, "gpt2", "norms on both sides, caps, windows"])("%s", (name) => {
  it("edges to the logits are path patching with frozen MLPs", async () => {
    using model = await loadFixture(name, "f64");
    const items = itemsFor(model);
    const edges = edgesOf(await exactEdgeEffects(model, items, keep));
    const direct = await identify(model, items, { ...keep, mlpPath: "freeze" });
    close(
      direct.heads.flatMap((row, l) => row.map((_, h) => edges.get(`${l}.${h} -> logits`) ?? 0)),
      direct.heads.flat(),
    );
    close(
      direct.mlps.map((_, l) => edges.get(`mlp ${l} -> logits`) ?? 0),
      direct.mlps,
    );
  });

  it("of the parallel and the sequential block, an MLP reads the heads of its layer in one", async () => {
    using model = await loadFixture(name, "f64");
    const edges = edgesOf(await exactEdgeEffects(model, itemsFor(model), keep));
    const parallel = model.spec.block === "parallel";
    expect(edges.has("0.1 -> mlp 0")).toBe(!parallel);
    expect(edges.has("0.1 -> mlp 1")).toBe(true);
    expect(edges.has("mlp 0 -> 1.0.k")).toBe(true);
    expect(edges.has("0.1 -> 0.0.q")).toBe(false);
  });
});

describe.each(models)("%s", (name) => {
  it("a sender's edges add up to its attribution patching", async () => {
    using model = await loadFixture(name, "f64");
    const items = itemsFor(model);
    const eap = await identify(model, items, { ...keep, method: "eap", edges: every });
    const atp = await identify(model, items, { ...keep, method: "atp", positions: "all" });
    close([...eap.heads.flat(), ...eap.mlps], [...atp.heads.flat(), ...atp.mlps]);
    expect(eap.edges).toHaveLength(eap.edgeCount as number);
    const sum = (eap.edges ?? [])
      .filter(({ from }) => from === "0.1")
      .reduce((total, { effect }) => total + effect, 0);
    expect(Math.abs(sum - (eap.heads[0]?.[1] as number))).toBeLessThan(1e-10);
  });

  it("eap-ig: the embeddings' edges add up to the total effect as steps grow", async () => {
    using model = await loadFixture(name, "f64");
    const items = itemsFor(model);
    const missing = async (steps: number) => {
      const run = await identify(model, items, { ...keep, method: "eap-ig", steps, edges: every });
      const sum = (run.edges ?? [])
        .filter(({ from }) => from === "embed")
        .reduce((total, { effect }) => total + effect, 0);
      return Math.abs(sum - run.totalEffect) / Math.abs(run.totalEffect);
    };
    // Midpoints: 8 times the steps leave about a 64th.
    const [few, many] = [await missing(4), await missing(32)];
    expect(few).toBeLessThan(1);
    expect(many).toBeLessThan(few / 16);
  });

  it("eap-ig by activations: heads of a layer add up to patching them all", async () => {
    using model = await loadFixture(name, "f64");
    const items = itemsFor(model);
    const by = async (steps: number) => {
      const options = { ...keep, method: "eap-ig", interpolate: "activations", edges: 0 } as const;
      return await identify(model, items, { ...options, steps });
    };
    const [few, many] = [await by(3), await by(24)];
    const metric = await metricOf(model, items, "logit-difference");
    for (const [hook, pick] of [
      [hooks.z(1), ({ heads }: typeof few) => (heads[1] ?? []).reduce((a, b) => a + b, 0)],
      [hooks.mlp_out_raw(0), ({ mlps }: typeof few) => mlps[0] as number],
    ] as const) {
      const { captures } = await model.forward({
        sequences: items.map(({ counterfactual }) => counterfactual as number[]),
        captures: [{ hook }],
      });
      const value = captures[0] as Float64Array;
      const exact = await metric([{ hook, op: "set", value }]);
      const missing = (run: typeof few) => Math.abs(pick(run) - exact) / Math.abs(exact);
      expect(missing(few)).toBeLessThan(1);
      expect(missing(many)).toBeLessThan(missing(few) / 16);
    }
    expect(many.edges).toBeUndefined();
  });

  it("atp-star drops one layer after the other", async () => {
    using model = await loadFixture(name, "f64");
    const items = itemsFor(model).slice(0, 1);
    const { layers } = model.spec;
    const star = await identify(model, items, { ...keep, method: "atp-star", positions: "all" });
    const metric = await metricOf(model, items, "logit-difference");
    const read = async (hook: string, of: readonly (readonly number[])[]) =>
      (await model.forward({ sequences: of, captures: [{ hook }] })).captures[0] as Float64Array;
    const [{ reference, counterfactual }] = items as [Item];
    const value = await read(hooks.mlp_out_raw(0), [counterfactual as number[]]);
    let expected = 0;
    for (let layer = 0; layer < layers; ++layer) {
      const held = await Promise.all(
        [hooks.attn_out(layer), hooks.mlp_out(layer)].map(async (hook) => ({
          ...{ hook, op: "set" as const, value: await read(hook, [reference]) },
        })),
      );
      const at = async (factor: number) =>
        await metric([...held, { hook: hooks.mlp_out_raw(0), op: "interpolate", factor, value }]);
      expected += Math.abs((await at(1e-4)) - (await at(-1e-4))) / 2e-4 / (layers - 1);
    }
    const found = Math.abs(star.mlps[0] as number);
    expect(Math.abs(found - expected) / expected).toBeLessThan(1e-5);
  });

  it("the QK fix follows the pattern's own change, not the slope of its softmax", async () => {
    using model = await loadFixture(name, "f64");
    const items = itemsFor(model).slice(0, 1);
    const { layers, heads } = model.spec;
    const last = layers - 1;
    const options = { ...keep, method: "atp-star", positions: "end" } as const;
    const star = await identify(model, items, options);
    const metric = await metricOf(model, items, "logit-difference");
    const [{ reference, counterfactual }] = items as [Item];
    const q = (
      await model.forward({
        sequences: [counterfactual as number[]],
        captures: [{ hook: hooks.q(last), head: 1, positions: "end" }],
      })
    ).captures[0] as Float64Array;
    const { captures } = await model.forward({
      sequences: [reference],
      edits: [{ hook: hooks.q(last), head: 1, positions: "end", op: "set", value: q }],
      captures: [{ hook: hooks.pattern(last), head: 1 }],
    });
    const value = captures[0] as Float64Array;
    const at = async (factor: number) =>
      await metric([{ hook: hooks.pattern(last), head: 1, op: "interpolate", factor, value }]);
    // Dropping an earlier layer leaves the last one's gradient as it is: L - 1 equal terms.
    const slope = ((await at(1e-4)) - (await at(-1e-4))) / 2e-4;
    const found = star.parts?.q.effects[last]?.[1] as number;
    expect(star.parts?.q.effects[last]).toHaveLength(heads);
    expect(Math.abs(found - slope) / Math.abs(slope)).toBeLessThan(1e-5);
  });
});

it("eap takes pairs of unequal length at END, and eap-ig does not", async () => {
  using model = await loadFixture("llama-gqa", "f64");
  const [one] = itemsFor(model) as [Item];
  const items = [{ ...one, counterfactual: ids(7, model.spec.vocab, 9) }];
  const result = await identify(model, items, { ...keep, method: "eap", positions: "end" });
  expect(result.edges).toHaveLength(100);
  await expect(identify(model, items, { ...keep, method: "eap-ig" })).rejects.toThrow(
    /needs equal lengths/,
  );
  await expect(
    identify(model, items, { ...keep, method: "eap-ig", positions: "end" }),
  ).rejects.toThrow(/whole prompts/);
  await expect(identify(model, items, { ...keep, method: "atp", steps: 4 })).rejects.toThrow(
    /steps is an option of eap-ig, not of atp/,
  );
});
