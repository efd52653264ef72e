import { afterAll, describe, expect, it } from "vitest";
import { identify } from "../../packages/keyheads/src/attribution/identify.ts";
import { pathPatch } from "../../packages/keyheads/src/attribution/path-patch.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import type { Item } from "../../packages/keyheads/src/tasks/items.ts";
import { negativeControl } from "../../packages/keyheads/src/validation/negative-control.ts";
import { fixture, fixtures, loadPlanted, readGolden } from "./golden-items.ts";

/** Largest difference measured over the three fixtures and both modes: 1.2e-6. */
const rounding = 6e-6;
/** The random fixtures answer anything to anything, so no pair is left out. */
const keep = { excludeUnchanged: false, draws: 50 };

describe.each(fixtures)("%s", (name) => {
  it.each(["recompute", "freeze"] as const)("exact equals naive, MLPs %sd", async (mlpPath) => {
    using model = await Model.load(fixture(name));
    const { items } = await readGolden(name);
    const options = { ...keep, mlpPath, effect: "logit-difference" } as const;
    const exact = await pathPatch(model, items, options);
    const naive = await pathPatch(model, items, { ...options, method: "naive" });
    expect(exact.heads.flat()).toHaveLength(model.spec.layers * model.spec.heads);
    exact.heads.flat().forEach((effect, i) => {
      expect(Math.abs(effect - (naive.heads.flat()[i] as number))).toBeLessThan(rounding);
    });
    exact.mlps.forEach((effect, i) => {
      expect(Math.abs(effect - (naive.mlps[i] as number))).toBeLessThan(rounding);
    });
    expect(Math.max(...exact.heads.flat().map(Math.abs))).toBeGreaterThan(0.01);
  });

  it("exact equals naive in doubles, to the last digits", async () => {
    using model = await Model.load(fixture(name), { dtype: "f64" });
    const { items } = await readGolden(name);
    const exact = await pathPatch(model, items, keep);
    const naive = await pathPatch(model, items, { ...keep, method: "naive" });
    [...exact.heads.flat(), ...exact.mlps].forEach((effect, i) => {
      const other = [...naive.heads.flat(), ...naive.mlps][i] as number;
      expect(Math.abs(effect - other)).toBeLessThan(1e-12);
    });
  });

  it("agrees with the golden logits of every head and MLP, for each method", async () => {
    using model = await Model.load(fixture(name));
    const golden = await readGolden(name);
    const { items, vocab } = golden;
    const clean = await golden.tensor("logits");
    const expected = async (key: string) => {
      const logits = await golden.tensor(key);
      const senders = logits.length / (items.length * vocab);
      return Array.from({ length: senders }, (_, s) => {
        const effects = items.map(({ answerId, reference }, b) => {
          const patched = logits[(s * items.length + b) * vocab + answerId] as number;
          const end = (b + 1) * reference.length - 1;
          return patched - (clean[end * vocab + answerId] as number);
        });
        return effects.reduce((a, b) => a + b, 0) / effects.length;
      });
    };
    const close = async (values: readonly number[], key: string) => {
      // Two stored numbers and two of ours enter each difference.
      const tolerance = 5 * (golden.deviation(key) + golden.deviation("logits"));
      for (const [s, effect] of (await expected(key)).entries()) {
        expect(Math.abs((values[s] as number) - effect), `${key} ${s}`).toBeLessThan(tolerance);
      }
    };
    const options = { ...keep, effect: "logit" } as const;
    const direct = await identify(model, items, options);
    await close(direct.heads.flat(), "path.head");
    await close(direct.mlps, "path.mlp");
    const end = await identify(model, items, { ...options, method: "activation" });
    await close(end.heads.flat(), "act.head_last");
    const all = await identify(model, items, {
      ...options,
      method: "activation",
      positions: "all",
    });
    await close(all.heads.flat(), "act.head");
    await close(all.mlps, "act.mlp");
  });

  it.each(["logit-difference", "logprob", "prob", "relative-logit", "ie", "normalised"] as const)(
    "computes %s as its equation does from the golden logits",
    async (effect) => {
      using model = await Model.load(fixture(name), { dtype: "f64" });
      const golden = await readGolden(name);
      const { items, vocab } = golden;
      const [clean, cf] = [await golden.tensor("logits"), await golden.tensor("cf.logits")];
      const patched = await golden.tensor("path.head");
      const read = (logits: Float64Array, row: number, b: number) => {
        const all = logits.subarray(row * vocab, (row + 1) * vocab);
        const sum = all.reduce((total, logit) => total + Math.exp(logit), 0);
        const { answerId, counterfactualAnswerId } = items[b] as Item;
        const [c, other] = [answerId, counterfactualAnswerId as number];
        const [lc, lo] = [all[c] as number, all[other] as number];
        return { lc, lo, pc: Math.exp(lc) / sum, po: Math.exp(lo) / sum };
      };
      type Read = ReturnType<typeof read>;
      const difference = (r: Read, p: Read) => p.lc - p.lo - (r.lc - r.lo);
      const of = {
        "logit-difference": difference,
        logprob: (r: Read, p: Read) => Math.log(p.pc) - Math.log(r.pc),
        prob: (r: Read, p: Read) => p.pc - r.pc,
        "relative-logit": (r: Read, p: Read) => (p.lc - r.lc) / r.lc,
        ie: (r: Read, p: Read) => ((p.po - r.po) / r.po + (r.pc - p.pc) / p.pc) / 2,
        normalised: difference,
      }[effect];
      const length = items[0]?.reference.length as number;
      const end = (b: number) => (b + 1) * length - 1;
      const sum = (logits: Float64Array, row: (b: number) => number) =>
        items.reduce((all, _, b) => all + of(read(clean, end(b), b), read(logits, row(b), b)), 0);
      const divisor = effect === "normalised" ? sum(cf, end) : items.length;
      const result = await identify(model, items, { ...keep, effect });
      result.heads.flat().forEach((value, s) => {
        const expected = sum(patched, (b) => s * items.length + b) / divisor;
        // Stored in float32: the error of logits, relative where an effect is a ratio.
        const tolerance = 20 * golden.deviation("path.head") * Math.max(1, Math.abs(expected));
        expect(Math.abs(value - expected), `sender ${s}`).toBeLessThan(tolerance);
      });
      const total = sum(cf, end) / divisor;
      expect(Math.abs(result.totalEffect - total)).toBeLessThan(1e-4 * Math.max(1, total));
    },
  );

  it("gives no effect at all where X_c is X_r", async () => {
    using model = await Model.load(fixture(name), { dtype: "f64" });
    const { items } = await readGolden(name);
    const { largest, result } = await negativeControl(model, items, { draws: 10 });
    expect(largest).toBeLessThan(1e-12);
    expect(result.keyHeads).toEqual([]);
    expect(result.headShares[0]?.[0]).toBeNaN();
  });

  it("does not depend on how items are chunked", async () => {
    using model = await Model.load(fixture(name));
    const { items } = await readGolden(name);
    const whole = await identify(model, items, keep);
    const single = await identify(model, items, { ...keep, batch: 1 });
    expect(single.heads).toEqual(whole.heads);
    expect(single.mlps).toEqual(whole.mlps);
  });
});

describe("the planted circuit", () => {
  const loading = loadPlanted();
  afterAll(async () => (await loading).model.dispose());

  it("is found: the planted heads and MLPs are exactly the top ones, with the true drops", async () => {
    const { model, items, truth } = await loading;
    const logit = await pathPatch(model, items, { effect: "logit", draws: 100 });
    const prob = await pathPatch(model, items, { effect: "prob", draws: 100 });
    const planted = truth.heads.map((head: { layer: number; head: number }) => nameOf(head));
    for (const result of [logit, prob]) {
      expect(result.ranking?.slice(0, planted.length).toSorted()).toEqual(planted.toSorted());
      expect(result.keyHeads.toSorted()).toEqual(planted.toSorted());
      expect(result.keyMlps.toSorted()).toEqual(
        truth.mlps.map(({ layer }: { layer: number }) => layer).toSorted(),
      );
    }
    // The stored drops are float32 numbers of another implementation around logits of 16.
    for (const { layer, head, ...drop } of truth.path_patching.heads) {
      expect(Math.abs((logit.heads[layer]?.[head] as number) + drop.logit_drop)).toBeLessThan(1e-4);
      expect(Math.abs((prob.heads[layer]?.[head] as number) + drop.probability_drop)).toBeLessThan(
        1e-5,
      );
    }
    for (const { layer, ...drop } of truth.path_patching.mlps) {
      expect(Math.abs((logit.mlps[layer] as number) + drop.logit_drop)).toBeLessThan(1e-4);
      expect(Math.abs((prob.mlps[layer] as number) + drop.probability_drop)).toBeLessThan(1e-5);
    }
  });

  it("is significant over all senders, and nothing else is with a minimum share", async () => {
    const { model, items, truth } = await loading;
    const { keyHeads, headP } = await pathPatch(model, items, {
      significance: { alpha: 0.01, minimumShare: 0.05 },
      draws: 10,
    });
    const planted = truth.heads.map((head: { layer: number; head: number }) => nameOf(head));
    expect(keyHeads.toSorted()).toEqual(planted.toSorted());
    expect(headP?.[0]?.[2]).toBeLessThan(0.01);
  });

  it("is named by every effect, whatever sign it gives to harm", async () => {
    const { model, items, truth } = await loading;
    const planted = truth.heads.map((head: { layer: number; head: number }) => nameOf(head));
    const some = items.items.slice(0, 60);
    for (const effect of [
      "logit-difference",
      "logprob",
      "relative-logit",
      "ie",
      "normalised",
    ] as const) {
      const result = await pathPatch(model, some, { effect, top: 3, draws: 10 });
      expect(result.keyHeads.toSorted(), effect).toEqual(planted.toSorted());
      expect(result.totalEffect, effect).toBeCloseTo(result.counterfactual - result.reference, 6);
      const [low, high] = result.headCI[0]?.[2] ?? [Number.NaN, Number.NaN];
      const mean = result.heads[0]?.[2] as number;
      expect(low <= mean && mean <= high, effect).toBe(true);
    }
  });

  it("reports progress, and stops when it is told to", async () => {
    const { model, items } = await loading;
    const seen: number[] = [];
    const some = items.items.slice(0, 20);
    await identify(model, some, { batch: 5, onProgress: (done) => seen.push(done), draws: 10 });
    expect(seen.at(-1)).toBe(20 * 36);
    expect(seen.toSorted((a, b) => a - b)).toEqual(seen);
    await expect(
      identify(model, some, { signal: AbortSignal.abort(), draws: 10 }),
    ).rejects.toMatchObject({ code: "CANCELLED" });
  });

  it("measures only the senders asked for", async () => {
    const { model, items } = await loading;
    const some = items.items.slice(0, 10);
    const result = await identify(model, some, { senders: ["mlps"], draws: 10 });
    expect(result.heads.flat().every(Number.isNaN)).toBe(true);
    expect(result.ranking).toEqual([]);
    expect(result.keyMlps.toSorted()).toEqual([2, 3]);
  });
});

function nameOf({ layer, head }: { layer: number; head: number }): string {
  return `${layer}.${head}`;
}
