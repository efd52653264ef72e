// Hugging Face's own code as the judge of a saved folder. Runs where a Python with transformers is
// found: KEYHEADS_PYTHON, or python3 on the path.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { saveModel } from "../../packages/keyheads/src/save/save-model.ts";
import { parseHeads, selectSlices } from "../../packages/keyheads/src/tuning/selection.ts";
import { tune } from "../../packages/keyheads/src/tuning/tune.ts";
import { load, randomItems, scratch } from "../tuning/models.ts";

const named = process.env.KEYHEADS_PYTHON;
const python = named ?? "python3";
const script = join(import.meta.dirname, "open_in_transformers.py");
const prompts = [[1, 2, 3, 4, 5, 6, 7], [9, 8], [11]];

test("tuned and saved folders open in transformers with the same logits", async (context) => {
  const found = spawnSync(python, ["-c", "import torch, transformers"]);
  if (found.status !== 0) {
    const why = `${python} has no torch and transformers; KEYHEADS_PYTHON names one that has`;
    // A Python that was named must work.
    expect(named, why).toBeUndefined();
    return context.skip(why);
  }
  const folder = await scratch();
  const names = ["gpt2", "llama", "llama-gqa"];
  const ours: number[][] = [];
  for (const name of names) {
    const model = await load(name);
    const select = { heads: parseHeads("0.1,2.3"), mlps: [1] };
    const train = randomItems(8, model.spec.vocab);
    await tune(model, { select, train, batch: 4, lr: 3e-3, steps: 4 });
    await saveModel(model, join(folder, name), { slices: selectSlices(model, select) });
    const readout = { rows: "all", logits: "all" } as const;
    const { logits } = await model.forward({ sequences: prompts, readout });
    ours.push([...(logits ?? [])]);
  }
  const { status, stdout, stderr } = spawnSync(
    python,
    [script, ...names.map((name) => join(folder, name))],
    { input: JSON.stringify(prompts), encoding: "utf8", maxBuffer: 1 << 26 },
  );
  expect(status, stderr).toBe(0);
  const theirs = (JSON.parse(stdout) as number[][][][]).map((logits) => logits.flat(2));
  for (const [i, name] of names.entries()) {
    const expected = ours[i] as number[];
    expect(theirs[i]).toHaveLength(expected.length);
    const worst = expected.reduce(
      (most, value, at) => Math.max(most, Math.abs(value - (theirs[i]?.[at] as number))),
      0,
    );
    // Two float32 implementations, logits up to 6.4. Measured 7.7e-6.
    expect(worst, name).toBeLessThan(4e-5);
  }
}, 180_000);
