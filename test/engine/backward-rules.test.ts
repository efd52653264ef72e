// Every backward rule is the true derivative of a changed function: the one in which what the rule
// holds constant is set to its values in the unchanged run. Its central differences are the oracle.
import type { BackwardRule, FloatArray, ModelSpec } from "@keyheads/native";
import { describe, expect, it } from "vitest";
import { hooks, listHooks } from "../../packages/keyheads/src/hooks.ts";
import type { HookEdit, Model } from "../../packages/keyheads/src/model.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { ids, loadFixture } from "./fixtures.ts";

const models = [
  "gpt2",
  "llama-gqa",
  "norms on both sides, caps, windows",
  "norms after, q/k norm of the width",
  "parallel with a shared norm, adjacent pairs",
  "mixture of experts",
];

const step = 1e-5;
/** Largest relative difference measured over all cases: 3e-10. */
const tolerance = 3e-9;

/** Hook points whose values a rule holds constant; q and k norms have none. */
function constants(rule: BackwardRule, spec: ModelSpec): string[] {
  const each = (hook: (layer: number) => string) =>
    Array.from({ length: spec.layers }, (_, layer) => hook(layer));
  switch (rule) {
    case "constant-patterns":
      return each(hooks.pattern);
    case "constant-z":
      return each(hooks.z);
    case "constant-mlps":
      return each(hooks.mlp_out_raw);
    case "constant-norm-scales":
      return listHooks(spec).filter((name) => name.endsWith("hook_scale"));
    case "secant-activations":
      return spec.experts > 0 ? each(hooks.expert_weights) : [];
  }
}

/** act(x) as x act(x0) / x0, to first order around the unchanged run. */
async function secants(model: Model, sequences: number[][]) {
  const { layers, gated } = model.spec;
  const each = Array.from({ length: layers }, (_, layer) => layer);
  const at = async (hook: (layer: number) => string) =>
    (await model.forward({ sequences, captures: each.map((l) => ({ hook: hook(l) })) })).captures;
  const [pre, post] = [await at(hooks.mlp_pre), await at(hooks.mlp_post)];
  const linear = gated ? await at(hooks.mlp_pre_linear) : undefined;
  return each.flatMap((layer) => {
    const seen: { pre?: FloatArray; linear?: FloatArray } = {};
    const keep = (name: "pre" | "linear") => (values: FloatArray) => {
      seen[name] = values.slice();
    };
    const change = (now: FloatArray | undefined, was: FloatArray, i: number) =>
      ((now as FloatArray)[i] as number) - (was[i] as number);
    const [pre0, post0] = [pre[layer] as FloatArray, post[layer] as FloatArray];
    const linear0 = linear?.[layer];
    const replace = (values: FloatArray) => {
      for (let i = 0; i < values.length; ++i) {
        const factor = (post0[i] as number) / (pre0[i] as number);
        let moved = factor * change(seen.pre, pre0, i) * (linear0 ? 0.5 : 1);
        if (linear0) {
          const act = (post0[i] as number) / (linear0[i] as number);
          moved += 0.5 * act * change(seen.linear, linear0, i);
        }
        values[i] = (post0[i] as number) + moved;
      }
    };
    return [
      { hook: hooks.mlp_pre(layer), run: keep("pre") },
      ...(linear0 ? [{ hook: hooks.mlp_pre_linear(layer), run: keep("linear") }] : []),
      { hook: hooks.mlp_post(layer), run: replace },
    ];
  });
}

async function check(name: string, rules: readonly BackwardRule[]) {
  using model = await loadFixture(name, "f64");
  const { spec } = model;
  const sequences = [ids(5, spec.vocab, 1), ids(3, spec.vocab, 2)];
  const objective = {
    kind: "logits",
    rows: Int32Array.of(4, 7),
    targets: Int32Array.of(1, 2, 3, 4),
    weights: Float64Array.of(1, -0.5, 0.3, 2),
  } as const;
  const start = await model.forward({ sequences, stopAtLayer: 0 });
  const residual = start.residual as FloatArray;
  const names = rules.flatMap((rule) => constants(rule, spec));
  const { captures } = await model.forward({
    sequences,
    captures: names.map((hook) => ({ hook })),
  });
  const frozen = names.map((hook, i): HookEdit => {
    return { hook, op: "set", value: captures[i] as FloatArray };
  });
  const secant = rules.includes("secant-activations") && spec.experts === 0;
  const edits = [...frozen, ...(secant ? await secants(model, sequences) : [])];
  const { gradients } = await model.backward({
    sequences,
    objective,
    gradients: [{ hook: hooks.resid_pre(0) }],
    rules,
  });
  const random = rng(7);
  for (let draw = 0; draw < 3; ++draw) {
    const direction = residual.map(() => 2 * random.next() - 1);
    const value = async (by: number) => {
      const moved = residual.map((x, i) => x + by * (direction[i] as number));
      const run = { sequences, startAtLayer: 0, residual: moved, edits };
      return (await model.backward({ ...run, objective, gradients: [] })).objective;
    };
    const slope = ((await value(step)) - (await value(-step))) / (2 * step);
    const gradient = gradients[0] as FloatArray;
    const along = gradient.reduce((sum, g, i) => sum + g * (direction[i] as number), 0);
    const size = Math.hypot(...gradient) * Math.hypot(...direction);
    expect(Math.abs(along - slope) / size, `${name} ${rules} ${draw}`).toBeLessThan(tolerance);
    expect(size).toBeGreaterThan(1e-3);
  }
  return gradients[0] as FloatArray;
}

const cases: readonly (readonly BackwardRule[])[] = [
  ["constant-patterns"],
  ["constant-z"],
  ["constant-mlps"],
  ["constant-z", "constant-mlps"],
  ["constant-patterns", "constant-norm-scales"],
  ["constant-patterns", "constant-norm-scales", "secant-activations"],
];
// The activations inside experts have no hook points through which to change the function.
const casesOf = (name: string) =>
  cases.filter((rules) => !name.startsWith("mixture") || !rules.includes("secant-activations"));

describe.each(models)("%s", (name) => {
  it.each(casesOf(name).map((rules) => ({ rules })))(
    "$rules: the derivative of the changed function, not of the true one",
    async ({ rules }) => {
      const changed = await check(name, rules);
      const plain = await check(name, []);
      expect(changed).not.toEqual(plain);
    },
  );
});

it("names the rules that there are", async () => {
  using model = await loadFixture("gpt2");
  const objective = {
    kind: "logits",
    rows: Int32Array.of(0),
    targets: Int32Array.of(1),
    weights: Float32Array.of(1),
  } as const;
  const rules = ["constant-noise"] as unknown as BackwardRule[];
  await expect(
    model.backward({ sequences: [[1]], objective, gradients: [], rules }),
  ).rejects.toThrow(/rules: 'constant-noise' is not one of constant-patterns, /);
});
