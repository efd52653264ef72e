// What the demo asks: discovery, tuning and evaluation on disjoint sets of sums.
import { bundledModels } from "@keyheads/models";
import { describe, expect, test } from "vitest";
import type { AnswerSet } from "../../packages/keyheads/src/evaluation/answers.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { digitsPlan } from "../../packages/keyheads/src/run/digits-plan.ts";
import { evaluateClasses } from "../../packages/keyheads/src/run/evaluate-classes.ts";

const bundled = bundledModels.find(({ name }) => name === "mathgpt_add3_h2_l2");
if (!bundled) throw new Error("the model is not bundled");

/** The unordered pair of last two digits of every item, which splits go by. */
function clusters({ tokens, offsets }: AnswerSet): Set<number> {
  const found = new Set<number>();
  for (let i = 0; i + 1 < offsets.length; ++i) {
    const at = offsets[i] as number;
    const [, a1, a0, , b1, b0] = tokens.subarray(at, at + 6) as unknown as number[];
    const a = (a1 as number) * 10 + (a0 as number);
    const b = (b1 as number) * 10 + (b0 as number);
    found.add(Math.min(a, b) * 100 + Math.max(a, b));
  }
  return found;
}

describe("digitsPlan", () => {
  test("tunes, chooses and judges on disjoint clusters", async () => {
    using model = await Model.load(bundled.folder);
    const plan = digitsPlan(model, bundled.card, bundled, { seed: 0 });
    const tuning = plan.tuning;
    if (!tuning) throw new Error("the plan has no tuning");
    const train = clusters(tuning.train);
    const dev = clusters(tuning.dev);
    const test = new Set(tuning.classes.flatMap(({ set }) => [...clusters(set)]));
    // About half of the 500 clusters whose tens digits can sum to nine.
    expect(train.size).toBeGreaterThan(200);
    for (const cluster of test) expect(train.has(cluster) || dev.has(cluster)).toBe(false);
    for (const cluster of dev) expect(train.has(cluster)).toBe(false);
    const discovered = plan.questions[0]?.discover.items.map((item) => item.cluster) ?? [];
    const shown = new Set(plan.questions[0]?.test.items.map((item) => item.cluster));
    expect(discovered.some((cluster) => shown.has(cluster))).toBe(false);
  });

  test("reports the test split as the first part of a whole population", async () => {
    using model = await Model.load(bundled.folder);
    const plan = digitsPlan(model, bundled.card, bundled, { seed: 0 });
    const whole = plan.classes.find(({ name }) => name === "W9-population");
    if (!whole?.first) throw new Error("the plan has no population");
    expect(whole.set.answerStarts).toHaveLength(10_000);
    const [first, all] = await evaluateClasses(model, [whole]);
    expect(first).toMatchObject({ name: "W9", n: whole.first.count });
    expect(all).toMatchObject({ name: "W9-population", n: 10_000 });
    // The same items counted apart.
    const part = { ...whole.set, offsets: whole.set.offsets.slice(0, whole.first.count + 1) };
    const set = { ...part, answerStarts: whole.set.answerStarts.slice(0, whole.first.count) };
    const [alone] = await evaluateClasses(model, [
      { name: "W9", title: "", set, exhaustive: true },
    ]);
    expect(alone?.accuracy).toBe(first?.accuracy);
  });
});
