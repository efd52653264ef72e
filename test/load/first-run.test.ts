// A model's first small run multiplies weights as it reads them from their files; later ones find
// them packed. The bits are the same, and a file that changes in between is an error.
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  rmSync,
  truncateSync,
  utimesSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type Dtype, RandomModels } from "../../bench/random-llama.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { familyNames, ids } from "../engine/fixtures.ts";
import { fixture } from "./variants.ts";

const random = new RandomModels();
const scratch = mkdtempSync(join(tmpdir(), "keyheads-first-"));
afterAll(() => {
  random[Symbol.dispose]();
  rmSync(scratch, { recursive: true });
});

const readout = { rows: "all", logits: "all" } as const;

/** Logits of all rows of a model's first run, and of the run after it. */
async function twice(folder: string, lengths: readonly number[], dtype: "f32" | "bf16" | "f64") {
  using model = await Model.load(folder, { dtype });
  const sequences = lengths.map((length, i) => ids(length, model.spec.vocab, i));
  const first = await model.forward({ sequences, readout });
  const second = await model.forward({ sequences, readout });
  return [first.logits, second.logits];
}

describe("the first run has the bits of the second", () => {
  // one part of a row more than a panel, and a number of columns that is odd where it can be
  const shape = { width: 66, layers: 2, heads: 3, mlp: 101, vocab: 131 };
  it.each(
    (["f32", "bf16"] as const).flatMap((stored) =>
      (["f32", "bf16", "f64"] as const).flatMap((dtype) =>
        [false, true].map((tied): [Dtype, "f32" | "bf16" | "f64", boolean] => [
          stored,
          dtype,
          tied,
        ]),
      ),
    ),
  )("of files in %s as %s, tied: %s", async (stored, dtype, tied) => {
    const folder = await random.write(`${stored}-${dtype}-${tied}`, { ...shape, tied }, stored);
    for (const lengths of [[1], [7], [3, 13], [30, 34]]) {
      const [first, second] = await twice(folder, lengths, dtype);
      expect(first).toEqual(second);
    }
  });

  it.each(familyNames)("of the family %s", async (name) => {
    const [first, second] = await twice(fixture(name), [2, 9, 5], "f32");
    expect(first).toEqual(second);
    expect(first?.some((logit) => logit !== 0)).toBe(true);
  });
});

describe("between loading and the first run", () => {
  const copied = () => {
    const folder = mkdtempSync(join(scratch, "model-"));
    for (const file of ["config.json", "model.safetensors"]) {
      copyFileSync(join(fixture("llama"), file), join(folder, file));
    }
    // so long ago that a clock of coarse ticks shows what is written now
    utimesSync(join(folder, "model.safetensors"), 1e9, 1e9);
    return { folder, weights: join(folder, "model.safetensors") };
  };
  const run = (model: Model, length: number) =>
    model.forward({ sequences: [ids(length, model.spec.vocab, 1)], readout });

  it.each([3, 30])("a file that was written to is an error, with %s tokens", async (length) => {
    const { folder, weights } = copied();
    using model = await Model.load(folder);
    appendFileSync(weights, "x");
    const failure = { code: "BAD_CHECKPOINT", message: expect.stringMatching(/written to after/) };
    await expect(run(model, length)).rejects.toMatchObject(failure);
    await expect(run(model, length)).rejects.toMatchObject(failure);
  });

  it("a file that was cut short is an error that names it", async () => {
    const { folder, weights } = copied();
    using model = await Model.load(folder);
    truncateSync(weights, 5000);
    await expect(run(model, 3)).rejects.toThrow(/model\.safetensors/);
  });

  it("a folder may be removed, and so it may once all weights were used twice", async () => {
    const { folder } = copied();
    using model = await Model.load(folder);
    rmSync(folder, { recursive: true });
    const first = await run(model, 3);
    expect((await run(model, 3)).logits).toEqual(first.logits);
  });

  it("after two runs a file may change", async () => {
    const { folder, weights } = copied();
    using model = await Model.load(folder);
    const first = await run(model, 3);
    await run(model, 3);
    truncateSync(weights, 0);
    expect((await run(model, 3)).logits).toEqual(first.logits);
  });
});
