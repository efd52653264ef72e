// PEFT itself as the judge of the adapter: base model and adapter must give the tuned model's logits.
// Runs where KEYHEADS_PYTHON names a Python with peft.
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openSafetensors } from "../../packages/keyheads/src/load/safetensors.ts";
import { savePeft } from "../../packages/keyheads/src/save/peft.ts";
import { planTuning } from "../../packages/keyheads/src/tuning/plan.ts";
import { parseHeads } from "../../packages/keyheads/src/tuning/selection.ts";
import { tune } from "../../packages/keyheads/src/tuning/tune.ts";
import { fixture, load, randomItems, scratch } from "../tuning/models.ts";

const python = process.env.KEYHEADS_PYTHON ?? "python3";
const prompts = [[1, 2, 3, 4, 5, 6, 7], [9, 8], [11]];
const selections = [{}, { heads: parseHeads("0.1,1.0"), mlps: [1] }] as const;

async function adapter(name: string, select: (typeof selections)[number]) {
  const model = await load(name);
  const train = randomItems(8, model.spec.vocab);
  const options = { method: "lora", select, lora: { rank: 3, alpha: 6 } } as const;
  await tune(model, { ...options, train, batch: 4, lr: 1e-2, steps: 4 });
  const folder = join(await scratch(), "adapter");
  await savePeft(model, folder, planTuning(model, options).added.added);
  const readout = { rows: "all", logits: "all" } as const;
  const { logits } = await model.forward({ sequences: prompts, readout });
  return { folder, logits: [...(logits ?? [])] };
}

test("names and shapes are PEFT's; a fused module holds the factors of its parts", async () => {
  const { folder } = await adapter("gpt2", {});
  const config = JSON.parse(await readFile(join(folder, "adapter_config.json"), "utf8"));
  expect(config).toMatchObject({ peft_type: "LORA", task_type: "CAUSAL_LM", fan_in_fan_out: true });
  const { tensors } = await openSafetensors(join(folder, "adapter_model.safetensors"));
  const shapes = Object.fromEntries(tensors.map(({ name, shape }) => [name, shape]));
  const fused = "base_model.model.transformer.h.0.attn.c_attn";
  const width = 48;
  expect(shapes[`${fused}.lora_A.weight`]).toEqual([9, width]);
  expect(shapes[`${fused}.lora_B.weight`]).toEqual([3 * width, 9]);
  expect(shapes["base_model.model.transformer.h.0.attn.c_proj.lora_A.weight"]).toEqual([3, width]);
  expect(config.r).toBe(9);
  expect(config.lora_alpha).toBe(18);
  expect(config.rank_pattern["transformer.h.0.attn.c_proj"]).toBe(3);
  expect(config.alpha_pattern["transformer.h.0.attn.c_proj"]).toBe(6);
});

test("PEFT loads it onto the base with the same logits", async (context) => {
  if (spawnSync(python, ["-c", "import peft, transformers"]).status !== 0) {
    return context.skip(`${python} has no peft; KEYHEADS_PYTHON names one that has`);
  }
  const names = ["gpt2", "llama-gqa", "gpt_neox", "phi3"];
  const runs: { folder: string; base: string; logits: number[]; name: string }[] = [];
  for (const name of names) {
    for (const select of selections) {
      runs.push({ ...(await adapter(name, select)), base: fixture(name), name });
    }
  }
  const { status, stdout, stderr } = spawnSync(
    python,
    [
      join(import.meta.dirname, "open_in_peft.py"),
      ...runs.flatMap((run) => [run.base, run.folder]),
    ],
    { input: JSON.stringify(prompts), encoding: "utf8", maxBuffer: 1 << 26 },
  );
  expect(status, stderr).toBe(0);
  const theirs = (JSON.parse(stdout) as number[][][][]).map((logits) => logits.flat(2));
  for (const [i, { logits, name }] of runs.entries()) {
    const worst = logits.reduce(
      (most, value, at) => Math.max(most, Math.abs(value - (theirs[i]?.[at] as number))),
      0,
    );
    // Two float32 implementations, logits up to 15.
    expect(worst, name).toBeLessThan(1e-4);
  }
}, 180_000);
