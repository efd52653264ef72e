// What the hook points of a mixture of experts hold, against plain formulas on the model's weights.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { ids, loadFixture } from "./fixtures.ts";

const layer = 1;
const silu = (x: number) => x / (1 + Math.exp(-x));

describe.each(["mixtral", "mixture of ungated experts, each token using one"])("%s", (name) => {
  let model: Model;
  let sequences: number[][];
  beforeAll(async () => {
    model = await loadFixture(name, "f64");
    sequences = [7, 1, 12].map((n, i) => ids(n, model.spec.vocab, i + 1));
  });
  afterAll(() => model.dispose());

  const times = async (x: readonly number[], slot: "router" | "wGate" | "wUp", expert?: number) => {
    const w = await model.readWeight({ slot, layer, ...(expert !== undefined && { expert }) });
    return Array.from({ length: w.length / x.length }, (_, row) =>
      x.reduce((sum, v, k) => sum + v * (w[row * x.length + k] as number), 0),
    );
  };

  it("holds the choice, its weights, and every expert's inside", async () => {
    const { experts, expertsPerToken, dMlp, dModel, gated } = model.spec;
    const { cache } = await model.runWithCache(sequences);
    const values = (hook: string) => [...cache.get(hook).values];
    const close = (found: number[], expected: number[]) => {
      expect(found.length).toBe(expected.length);
      for (const [i, x] of expected.entries()) expect(found[i]).toBeCloseTo(x, 10);
    };
    const gain = await model.readWeight({ slot: "mlpNorm", layer });
    const normalized = cache.get(hooks.ln2_normalized(layer)).values;
    const post = values(hooks.expert_post(layer));
    for (let row = 0; row < sequences.flat().length; ++row) {
      const x = Array.from(
        gain,
        (g, c) => (normalized[row * dModel + c] as number) * (g as number),
      );
      const logits = await times(x, "router");
      const order = logits.map((_, e) => e).sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0));
      const chosen = order.slice(0, expertsPerToken);
      const part = (hook: string, width: number) =>
        values(hook).slice(row * width, (row + 1) * width);
      expect(part(hooks.expert_indices(layer), expertsPerToken)).toEqual(chosen);
      const total = chosen.reduce((sum, e) => sum + Math.exp(logits[e] as number), 0);
      const weights = logits.map((l, e) => (chosen.includes(e) ? Math.exp(l) / total : 0));
      close(part(hooks.expert_weights(layer), experts), weights);
      for (let e = 0; e < experts; ++e) {
        const used = chosen.includes(e);
        const zeros = Array.from({ length: dMlp }, () => 0);
        const up = used ? await times(x, "wUp", e) : zeros;
        const gate = gated && used ? await times(x, "wGate", e) : zeros;
        const at = `blocks.${layer}.mlp.experts.${e}.hook_`;
        close(part(`${at}pre`, dMlp), up);
        if (gated) {
          close(part(`${at}gate`, dMlp), gate);
          const product = gate.map((g, i) => silu(g) * (up[i] as number));
          close(part(`${at}post`, dMlp), product);
        }
        const start = (row * experts + e) * dMlp;
        expect(part(`${at}post`, dMlp)).toEqual(post.slice(start, start + dMlp));
      }
    }
  });

  it("changes the tokens of the expert that is written, and no others", async () => {
    const mlp = { hook: hooks.mlp_out(layer) };
    const captures = [mlp, { hook: hooks.expert_indices(layer) }];
    const plain = await model.forward({ sequences, captures });
    const chosen = plain.captures[1] as Float64Array;
    const { dModel, expertsPerToken } = model.spec;
    const expert = chosen[0] as number;
    const edit = { op: "scale" as const, factor: 2 };
    const hook = `blocks.${layer}.mlp.experts.${expert}.hook_post`;
    for (const where of [{ hook }, { hook: hooks.expert_post(layer), head: expert }]) {
      const out = await model.forward({ sequences, captures, edits: [{ ...where, ...edit }] });
      const rows = sequences.flat().length;
      for (let row = 0; row < rows; ++row) {
        const part = (values: unknown) =>
          (values as Float64Array).slice(row * dModel, (row + 1) * dModel);
        const own = chosen.slice(row * expertsPerToken, (row + 1) * expertsPerToken);
        const same = Buffer.compare(
          Buffer.from(part(out.captures[0]).buffer),
          Buffer.from(part(plain.captures[0]).buffer),
        );
        expect(same === 0, `row ${row}`).toBe(!own.includes(expert));
      }
    }
  });

  it("gives one expert's part under its own name, kept alone, called or differentiated", async () => {
    const { experts } = model.spec;
    const own = `blocks.${layer}.mlp.experts.${experts - 1}.hook_pre`;
    const alone = await model.runWithCache(sequences, { names: own });
    const whole = await model.runWithCache(sequences, { names: hooks.expert_pre(layer) });
    expect(alone.cache.names).toEqual([own]);
    expect(whole.cache.get(own).shape).toEqual(alone.cache.get(own).shape);
    expect(whole.cache.get(own).item(2).values).toEqual(alone.cache.get(own).item(2).values);
    const seen: unknown[] = [];
    await model.runWithHooks(sequences, [
      [own, (x, at) => void seen.push(at.name, at.head, at.shape, [...x])],
    ]);
    expect(seen).toEqual([
      own,
      experts - 1,
      alone.cache.get(own).shape,
      [...alone.cache.get(own).values],
    ]);
  });

  it("lets the choice be read only, and says what there is", async () => {
    const hook = hooks.expert_indices(layer);
    const refused = /can only be read.*hook_expert_weights/;
    await expect(model.forward({ sequences, edits: [{ hook, op: "zero" }] })).rejects.toThrow(
      refused,
    );
    await expect(model.runWithHooks(sequences, [[hook, () => undefined]])).rejects.toThrow(refused);
    const beyond = `blocks.${layer}.mlp.experts.${model.spec.experts}.hook_pre`;
    await expect(model.runWithCache(sequences, { names: beyond })).rejects.toThrow(/no expert/);
    const twice = { hook: `blocks.${layer}.mlp.experts.0.hook_pre`, head: 0 };
    await expect(model.forward({ sequences, captures: [twice] })).rejects.toThrow(
      /names its expert/,
    );
  });
});
