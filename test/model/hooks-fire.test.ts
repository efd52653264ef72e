// Every hook point of every family fires with its declared shape, can be written, and has a
// gradient that agrees with finite differences in float64.
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { headsOf, listHooks, parseHook, widthOf } from "../../packages/keyheads/src/hooks.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";

const sequences = [[5, 9, 2, 30], [7], [11, 3, 8]];
const lengths = sequences.map((sequence) => sequence.length);
const rows = lengths.reduce((sum, n) => sum + n, 0);
const squares = lengths.reduce((sum, n) => sum + n * n, 0);

/** A scalar that depends on every logit row: random weights on a few tokens of each. */
function objective(vocab: number) {
  const random = rng(3);
  const width = 5;
  return {
    kind: "logits",
    rows: Int32Array.from({ length: rows }, (_, row) => row),
    targets: Int32Array.from({ length: rows * width }, () => random.int(vocab)),
    weights: Float64Array.from({ length: rows * width }, () => random.next() - 0.5),
  } as const;
}

describe.each(["gpt2", "llama", "llama-gqa"])("hooks of %s", async (name) => {
  const folder = fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
  const model = await Model.load(folder, { dtype: "f64" });
  afterAll(() => model.dispose());
  const { spec } = model;
  const goal = objective(spec.vocab);

  const valueAt = async (hook: string, op: "add" | "scale", value: Float64Array, factor = 1) => {
    const edit = op === "add" ? { hook, op, value } : { hook, op, factor };
    return (await model.backward({ sequences, objective: goal, gradients: [], edits: [edit] }))
      .objective;
  };

  it.each(listHooks(spec))("%s", async (hook) => {
    const { info } = parseHook(hook, spec);
    const isPattern = info.rows === "pattern";
    const heads = Math.max(1, headsOf(info, spec));
    const size = isPattern ? heads * squares : rows * heads * widthOf(info, spec);
    const site = { hook };
    const result = await model.backward({
      sequences,
      objective: goal,
      captures: [site],
      gradients: [site],
    });
    const [capture = [], gradient = []] = [result.captures[0], result.gradients[0]];
    expect(capture).toHaveLength(size);
    expect(gradient).toHaveLength(size);
    expect(capture.some((x) => x !== 0)).toBe(true);

    const random = rng(7);
    const direction = Float64Array.from({ length: size }, () => random.next() - 0.5);
    const step = 1e-6;
    const [up, down] = [
      await valueAt(
        hook,
        "add",
        direction.map((x) => x * step),
      ),
      await valueAt(
        hook,
        "add",
        direction.map((x) => -x * step),
      ),
    ];
    const numeric = (up - down) / (2 * step);
    const analytic = gradient.reduce((sum: number, g, i) => sum + g * (direction[i] as number), 0);
    const scale = gradient.reduce((sum: number, g) => sum + Math.abs(g), 0);
    expect(scale).toBeGreaterThan(0);
    expect(Math.abs(numeric - analytic)).toBeLessThan(1e-6 * Math.max(1, scale));

    // Writing what is there changes nothing; writing something else does.
    const same = await model.backward({
      sequences,
      objective: goal,
      gradients: [],
      edits: [{ hook, op: "set", value: capture as Float64Array }],
    });
    expect(same.objective).toBeCloseTo(result.objective, 10);
    expect(
      Math.abs((await valueAt(hook, "scale", direction, 0.5)) - result.objective),
    ).toBeGreaterThan(1e-9);
  });
});
