// Every approximation on the planted model, whose circuit is known: it names the parts of the circuit
// first, and nobody else before them, and is as near to its own exact answer as it was measured to be.
import { afterAll, describe, expect, it } from "vitest";
import { agreement } from "../../packages/keyheads/src/attribution/agreement.ts";
import { exactEdgeEffects } from "../../packages/keyheads/src/attribution/edges/identify-edges.ts";
import { identify } from "../../packages/keyheads/src/attribution/identify.ts";
import type { IdentifyOptions } from "../../packages/keyheads/src/attribution/options.ts";
import { averagePrecision } from "../../packages/keyheads/src/ground-truth/ranking.ts";
import type { EdgeEffect, IdentifyResult } from "../../packages/keyheads/src/results.ts";
import { numberClusters } from "../../packages/keyheads/src/statistics/bootstrap.ts";
import { loadPlanted } from "./golden-items.ts";

const loading = loadPlanted();
afterAll(async () => (await loading).model.dispose());

/** Errors are deterministic up to rounding: bounds are those measured, and a twentieth. */
const margin = 1.05;
const one = (effects: Iterable<number>) => [...effects].map((x) => Float64Array.of(x));
const agree = (exact: Iterable<number>, approximate: Iterable<number>, top: number) =>
  agreement(one(exact), one(approximate), numberClusters(["all"]), { top, draws: 1 });

async function run(options: IdentifyOptions): Promise<IdentifyResult> {
  const { model, items } = await loading;
  const some = items.items.filter((_, i) => i % 5 === 0);
  return await identify(model, some, { draws: 1, ...options });
}

const effectsOf = ({ heads, mlps }: IdentifyResult) =>
  new Map([
    ...heads.flatMap((row, l) => row.map((effect, h): [string, number] => [`${l}.${h}`, effect])),
    ...mlps.map((effect, l): [string, number] => [`mlp ${l}`, effect]),
  ]);

const end = { positions: "end" } as const;
const all = { positions: "all" } as const;
const activation = { method: "activation" } as const;
const star = { method: "atp-star", parts: false } as const;
/** Method, its exact answer, and the error: sum of |difference| over sum of |exact|. */
const cases: readonly (readonly [string, IdentifyOptions, IdentifyOptions, number])[] = [
  ["atp at END", { method: "atp", ...end }, { ...activation, ...end }, 0.305],
  ["atp", { method: "atp", ...all }, { ...activation, ...all }, 0.37],
  ["atp-star at END", { ...star, ...end }, { ...activation, ...end }, 0.47],
  ["atp-star", { ...star, ...all }, { ...activation, ...all }, 0.491],
  ["relp at END", { method: "relp", ...end }, { ...activation, ...end }, 0.374],
  ["relp", { method: "relp", ...all }, { ...activation, ...all }, 0.369],
  ["direct-gradient", { method: "direct-gradient" }, { method: "exact" }, 0.304],
];

describe("heads and MLPs", () => {
  it.each(cases)("%s", async (_, approximate, exact, error) => {
    const { truth } = await loading;
    const planted = new Set<string>([
      ...truth.heads.map(({ layer, head }: { layer: number; head: number }) => `${layer}.${head}`),
      ...truth.mlps.map(({ layer }: { layer: number }) => `mlp ${layer}`),
    ]);
    const [known, found] = [effectsOf(await run(exact)), effectsOf(await run(approximate))];
    for (const effects of [known, found]) {
      const belongs = [...effects.keys()].map((name) => planted.has(name));
      expect(averagePrecision([...effects.values()].map(Math.abs), belongs)).toBe(1);
    }
    for (const name of planted) expect(found.get(name), name).toBeLessThan(-1);
    const judged = agree(known.values(), found.values(), planted.size);
    expect(judged.error).toBeLessThan(margin * error);
    expect(judged).toMatchObject({ overlap: { mean: 1 }, sign: { mean: 1 } });
  });

  it("frozen MLPs hide heads that only MLPs read, exactly and by gradient", async () => {
    const options = { mlpPath: "freeze" } as const;
    for (const method of ["exact", "direct-gradient"] as const) {
      const { heads, totalEffect } = await run({ ...options, method });
      for (const effect of heads.flat()) expect(Math.abs(effect / totalEffect)).toBeLessThan(0.05);
    }
  });
});

describe("edges", () => {
  const planted = [
    ...["0.2", "0.6", "1.5"].flatMap((head) => [`embed -> ${head}.v`, `${head} -> mlp 3`]),
    ...["mlp 3 -> logits", "mlp 2 -> logits"],
  ];
  const named = (edges: readonly Pick<EdgeEffect, "from" | "to" | "effect">[]) =>
    new Map(edges.map(({ from, to, effect }) => [`${from} -> ${to}`, effect]));

  it.each([
    ["eap", { method: "eap" }, 7, 0.412],
    ["eap-ig", { method: "eap-ig" }, 8, 0.647],
    ["eap-ig, activations", { method: "eap-ig", interpolate: "activations" }, 7, 0.348],
  ] as const)("%s", async (_, options, least, error) => {
    const { model, items } = await loading;
    const some = items.items.filter((_, i) => i % 8 === 0);
    const exact = named(await exactEdgeEffects(model, some));
    const result = await identify(model, some, { draws: 1, edges: exact.size, ...options });
    const found = named(result.edges ?? []);
    const top = (effects: ReadonlyMap<string, number>) =>
      [...effects]
        .sort(([, a], [, b]) => Math.abs(b) - Math.abs(a))
        .slice(0, planted.length)
        .map(([name]) => name);
    expect(top(exact).toSorted()).toEqual(planted.toSorted());
    const inOrder = [...exact.keys()].map((name) => found.get(name) as number);
    expect(top(found).filter((name) => planted.includes(name)).length).toBeGreaterThanOrEqual(
      least,
    );
    const judged = agree(exact.values(), inOrder, planted.length);
    expect(judged.error).toBeLessThan(margin * error);
    expect(judged.sign.mean).toBe(1);
  });
});
