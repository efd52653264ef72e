// Every approximation against finite differences of what it linearises, and against the exact answer
// where the two must be equal.
import type { ModelSpec } from "@keyheads/native";
import { describe, expect, it } from "vitest";
import { allHeads, allMlps } from "../../packages/keyheads/src/attribution/component.ts";
import { identify } from "../../packages/keyheads/src/attribution/identify.ts";
import {
  approximateMethods,
  type IdentifyOptions,
} from "../../packages/keyheads/src/attribution/options.ts";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import type { HookEdit, Model } from "../../packages/keyheads/src/model.ts";
import type { Item } from "../../packages/keyheads/src/tasks/items.ts";
import { ids, loadFixture } from "../engine/fixtures.ts";
import { choiceSpec, modelOf, randomWeights } from "../engine/random-models.ts";
import { metricOf } from "./metric-of.ts";

const models = ["gpt2", "llama-gqa", "norms on both sides, caps, windows", "mixture of experts"];
const keep = { excludeUnchanged: false, draws: 20 } as const;
const step = 1e-4;

const item = (n: number, length: number, vocab: number): Item => {
  const reference = ids(length, vocab, n);
  return {
    ...{ id: String(n), line: n, promptIds: reference, answerIds: [(n * 3) % vocab], target: 0 },
    ...{ reference, answerId: (n * 3) % vocab, counterfactual: ids(length, vocab, n + 20) },
    counterfactualAnswerId: (n * 5 + 1) % vocab,
    roles: {},
  };
};
const itemsFor = ({ vocab }: ModelSpec) => [item(1, 6, vocab), item(2, 4, vocab)];

type Effects = Pick<Awaited<ReturnType<typeof identify>>, "heads" | "mlps">;
const flat = ({ heads, mlps }: Effects) => [...heads.flat(), ...mlps];
const senders = (spec: ModelSpec) => [...allHeads(spec), ...allMlps(spec)];

/** Mean slope of the effect as a sender goes from X_r towards X_c, with more held as on X_r. */
async function slopes(
  model: Model,
  items: readonly Item[],
  { effect, positions = "end" }: IdentifyOptions,
  held: readonly string[] = [],
): Promise<number[]> {
  const { spec } = model;
  const sequences = items.map(({ reference }) => reference);
  const read = async (of: readonly (readonly number[])[], hook: string, where: "end" | "all") =>
    (await model.forward({ sequences: of, captures: [{ hook, positions: where }] })).captures[0];
  const freeze: HookEdit[] = [];
  for (const hook of held) {
    freeze.push({ hook, op: "set", value: (await read(sequences, hook, "all")) as Float64Array });
  }
  const metric = await metricOf(model, items, effect as never);
  const out: number[] = [];
  for (const { layer, head } of senders(spec)) {
    const hook = head < 0 ? hooks.mlp_out_raw(layer) : hooks.z(layer);
    const others = items.map((one) => one.counterfactual as readonly number[]);
    const all = (await read(others, hook, positions)) as Float64Array;
    const value = head < 0 ? all : pickHead(all, spec, head);
    const at = async (factor: number) =>
      await metric([
        ...freeze,
        { hook, positions, op: "interpolate", factor, value, ...(head >= 0 && { head }) },
      ]);
    out.push(((await at(step)) - (await at(-step))) / (2 * step));
  }
  return out;
}

function pickHead(z: Float64Array, { heads, dHead }: ModelSpec, head: number): Float64Array {
  const rows = z.length / (heads * dHead);
  return Float64Array.from({ length: rows * dHead }, (_, i) => {
    const [row, c] = [Math.floor(i / dHead), i % dHead];
    return z[(row * heads + head) * dHead + c] as number;
  });
}

function close(a: readonly number[], b: readonly number[], tolerance: number): void {
  const size = Math.max(...b.map(Math.abs));
  expect(size).toBeGreaterThan(1e-4);
  expect(a).toHaveLength(b.length);
  a.forEach((value, i) => {
    expect(Math.abs(value - (b[i] as number)) / size, String(i)).toBeLessThan(tolerance);
  });
}

/** Largest measured over these models, effects and positions: 3e-7 of the largest slope. */
const differences = 2e-6;

describe.each(models)("%s", (name) => {
  it.each([
    ["logit-difference", "all"],
    ["logprob", "end"],
    ["prob", "all"],
    ["ie", "all"],
    ["relative-logit", "end"],
  ] as const)("atp is the slope of %s, positions %s", async (effect, positions) => {
    using model = await loadFixture(name, "f64");
    const items = itemsFor(model.spec);
    const options = { ...keep, effect, positions } as const;
    const atp = await identify(model, items, { ...options, method: "atp" });
    close(flat(atp), await slopes(model, items, options), differences);
    // Key heads follow the relative logit, whatever effect is shown.
    const relative = await slopes(model, items, { ...options, effect: "relative-logit" });
    close(flat(atp.relativeLogit as Effects), relative, differences);
  });

  it.each(["recompute", "freeze"] as const)(
    "direct-gradient is the slope of path patching, MLPs %sd",
    async (mlpPath) => {
      using model = await loadFixture(name, "f64");
      const items = itemsFor(model.spec);
      const options = { ...keep, effect: "logit-difference", mlpPath } as const;
      const each = Array.from({ length: model.spec.layers }, (_, layer) => layer);
      const held = [
        ...each.map((layer) => hooks.z(layer)),
        ...(mlpPath === "freeze" ? each.map((layer) => hooks.mlp_out_raw(layer)) : []),
      ];
      const direct = await identify(model, items, { ...options, method: "direct-gradient" });
      close(flat(direct), await slopes(model, items, options, held), differences);
    },
  );

  it.each(approximateMethods)("%s gives zeros where X_c is X_r", async (method) => {
    using model = await loadFixture(name, "f64");
    const result = await identify(model, itemsFor(model.spec), {
      ...{ ...keep, method, counterfactual: "self", effect: "logprob" },
    });
    expect(flat(result).every((value) => value === 0)).toBe(true);
    expect(result.keyHeads).toEqual([]);
    expect((result.edges ?? []).every(({ effect }) => effect === 0)).toBe(true);
  });
});

/** Largest measured difference from the exact effects: 1.2e-9 of the largest. */
const linear = 1e-8;

/**
 * Norms whose scale hardly depends on what they divide, patterns that depend on nothing, MLPs that are
 * linear far from 0: the model is linear up to some 1e-10.
 */
async function linearModel(): Promise<Model> {
  const spec: ModelSpec = {
    ...choiceSpec("mixture of experts"),
    experts: 0,
    expertsPerToken: 0,
    normEps: 1e12,
    gated: false,
    activation: "relu",
  };
  const weights = randomWeights(spec, 5);
  for (const [key, values] of weights) {
    if (/[nN]orm/.test(key)) values.fill(1e6);
    if (/w[qk]|b[qk]/.test(key)) values.fill(0);
    if (/bUp/.test(key)) values.fill(100);
  }
  return await modelOf(spec, weights, "f64");
}

describe("on a linear model", () => {
  it.each(["end", "all"] as const)(
    "atp is activation patching, positions %s",
    async (positions) => {
      using model = await linearModel();
      const items = itemsFor(model.spec);
      const options = { ...keep, positions, effect: "logit-difference" } as const;
      const exact = flat(await identify(model, items, { ...options, method: "activation" }));
      close(flat(await identify(model, items, { ...options, method: "atp" })), exact, linear);
      // Nothing is curved, so that relevance is the gradient, but for the halves and the secants.
      expect(exact.every((effect) => Math.abs(effect) > 0)).toBe(true);
    },
  );

  it("direct-gradient is path patching", async () => {
    using model = await linearModel();
    const items = itemsFor(model.spec);
    const options = { ...keep, effect: "logit-difference" } as const;
    const exact = flat(await identify(model, items, options));
    const found = await identify(model, items, { ...options, method: "direct-gradient" });
    close(flat(found), exact, linear);
  });
});
