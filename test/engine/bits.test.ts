// An item's numbers do not depend on its batch, its order, the number of threads, or what ran
// before, bit for bit; weight gradients depend on the order only. For every fixture, and for random
// models of random choices.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadBinding, type ModelDtype } from "@keyheads/native";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { familyNames, ids, loadFixture } from "./fixtures.ts";
import {
  expectGeneration,
  expectItemsIndependent,
  expectSweeps,
  expectWeightGradients,
  randomEdits,
} from "./invariance.ts";
import { choiceNames, randomModel } from "./random-models.ts";

const fixtures = fileURLToPath(new URL("../fixtures", import.meta.url));
const fixtureNames = readdirSync(fixtures).filter((name) =>
  existsSync(join(fixtures, name, "config.json")),
);
const drawn = Array.from({ length: 12 }, (_, i) => `drawn ${100 + i}`);
const dtypes = ["f32", "f64"] as const;
/** In bfloat16, whose products the processor may have of its own: every kind of block. */
const narrow = ["gpt2", "gemma2", "llama-gqa", "mixtral"];

const cases: readonly (readonly [name: string, dtype: ModelDtype])[] = [
  ...narrow.map((name) => [name, "bf16"] as const),
  ...fixtureNames.flatMap((name) => dtypes.map((dtype) => [name, dtype] as const)),
  ...[...choiceNames, ...drawn].map(
    (name, i) => [name, dtypes[i % dtypes.length] as (typeof dtypes)[number]] as const,
  ),
];

afterAll(() => loadBinding().setThreads(0));

describe.each(familyNames)("attention of %s", (name) => {
  it("has the same bits whether or not anybody looks at scores and patterns", async () => {
    using model = await loadFixture(name);
    const sequences = [7, 1, 16, 3, 21].map((n, i) => ids(n, model.spec.vocab, i + 3));
    const layers = Array.from({ length: model.spec.layers }, (_, layer) => layer);
    const read = async (look: readonly string[]) => {
      const { captures, logits } = await model.forward({
        sequences,
        captures: [...layers.map(hooks.z), ...look].map((hook) => ({ hook })),
        readout: { rows: "all", logits: "all" },
      });
      return [...captures.slice(0, layers.length), logits];
    };
    const fused = await read([]);
    for (const look of [hooks.pattern, hooks.attn_scores]) {
      expect(await read(layers.map(look))).toEqual(fused);
    }
  });
});

describe.each(cases)("bits of %s in %s", (name, dtype) => {
  let model: Model;
  const seed = [...name].reduce((sum, c) => sum + c.charCodeAt(0), 0);
  beforeAll(async () => {
    model = fixtureNames.includes(name)
      ? await Model.load(join(fixtures, name), { dtype })
      : await randomModel(name, dtype);
  });
  afterAll(() => model.dispose());

  it("do not depend on the rest of the batch, at any hook point", async () => {
    await expectItemsIndependent(model, seed);
  });

  it("do not depend on it with edits either", async () => {
    await expectItemsIndependent(model, seed + 1, randomEdits(model, rng(seed + 1)));
  });

  it("of weight gradients do not depend on the number of threads", async () => {
    await expectWeightGradients(model, seed + 2);
  });

  it("give the same tokens with a cache, without, and in a batch", async () => {
    await expectGeneration(model, seed + 3);
  });

  it("of swept variants do not depend on the rest of the batch", async () => {
    await expectSweeps(model, seed + 4);
  });
});

it("covers every fixture", () => {
  expect(fixtureNames.length).toBeGreaterThan(3);
});
