import {
  chmod,
  copyFile,
  cp,
  mkdir,
  readdir,
  readFile,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  openSafetensors,
  readTensor,
  readTensorBytes,
} from "../../packages/keyheads/src/load/safetensors.ts";
import { writeSafetensors } from "../../packages/keyheads/src/load/write-safetensors.ts";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { checkSaved } from "../../packages/keyheads/src/save/check-saved.ts";
import { diffCheckpoints } from "../../packages/keyheads/src/save/diff-checkpoints.ts";
import { bfloatBits } from "../../packages/keyheads/src/save/encode.ts";
import { outputFolder } from "../../packages/keyheads/src/save/output-folder.ts";
import { saveModel } from "../../packages/keyheads/src/save/save-model.ts";
import {
  parseHeads,
  type Selection,
  selectSlices,
} from "../../packages/keyheads/src/tuning/selection.ts";
import { tune } from "../../packages/keyheads/src/tuning/tune.ts";
import { families } from "../families.ts";
import { fixture, load, loadFolder, randomItems, scratch } from "../tuning/models.ts";

const select = { heads: parseHeads("0.1,1.3"), mlps: [1] };
const probes = [
  [1, 2, 3, 4, 5, 6, 7],
  [9, 8],
];

async function tuned(model: Model, selection: Selection = select) {
  const train = randomItems(8, model.spec.vocab);
  await tune(model, { select: selection, train, batch: 4, lr: 1e-3, steps: 2 });
  return selectSlices(model, selection);
}

describe("a saved model", () => {
  test.each(families)(
    "%s: opens again with equal logits; unselected numbers keep their bits",
    async (name) => {
      const model = await load(name);
      const slices = await tuned(model);
      const out = join(await scratch(), "tuned");
      const saved = await saveModel(model, out, { slices, manifest: { base: name } });
      const check = await checkSaved(model, out, { slices, probes });
      expect(check).toMatchObject({ maxAbs: 0, isolation: { unselectedChanged: 0 } });
      expect(check.logits).toBe(9 * model.spec.vocab);
      expect((await readdir(out)).sort()).toEqual([
        "config.json",
        "generation_config.json",
        "keyheads.json",
        "model.safetensors",
      ]);
      const [source, result] = await Promise.all(
        [fixture(name), out].map((folder) => openSafetensors(join(folder, "model.safetensors"))),
      );
      expect(result?.metadata).toEqual(source?.metadata);
      expect(result?.tensors.map(({ file: _, ...tensor }) => tensor)).toEqual(
        source?.tensors.map(({ file: _, ...tensor }) => tensor),
      );
      const difference = await diffCheckpoints(fixture(name), out);
      expect(difference.incomparable).toEqual([]);
      expect(difference.changed.map(({ tensor }) => tensor).sort()).toEqual(
        [...check.isolation.changedTensors].sort(),
      );
      expect(new Set(saved.tensors)).toEqual(new Set(check.isolation.changedTensors));
    },
  );

  test.each(["mixtral", "phi3", "stablelm-parallel"])(
    "%s: every weight, in tensors that hold several slots and slots of several tensors",
    async (name) => {
      const model = await load(name);
      const slices = await tuned(model, { everything: true });
      const out = join(await scratch(), "tuned");
      await saveModel(model, out, { slices });
      const check = await checkSaved(model, out, { slices, probes });
      expect(check).toMatchObject({ maxAbs: 0, isolation: { unselectedChanged: 0 } });
      const { tensors } = await openSafetensors(join(out, "model.safetensors"));
      const { changed } = await diffCheckpoints(fixture(name), out);
      expect(changed.map(({ tensor }) => tensor).sort()).toEqual(
        tensors.map((tensor) => tensor.name).sort(),
      );
      const pieces = changed.flatMap((tensor) => tensor.pieces);
      if (name === "mixtral") expect(pieces).toContain("wUp 1 of expert 3");
      if (name === "stablelm-parallel") expect(pieces).toContain("kNorm 2.1");
    },
  );

  test("one masked AdamW step, saved, is the golden one", async () => {
    for (const name of families) {
      const model = await load(name);
      const golden = JSON.parse(await readFile(fixture(`${name}/golden.json`), "utf8"));
      const heads = golden.masked.heads.map(([layer, head]: number[]) => ({ layer, head }));
      const slices = selectSlices(model, { heads, mlps: golden.masked.mlps });
      using trainer = await model.createTrainer(slices);
      const rows: number[] = [];
      const targets: number[] = [];
      golden.labels.forEach((labels: number[], item: number) => {
        labels.slice(1).forEach((label, t) => {
          if (label === -100) return;
          rows.push(item * labels.length + t);
          targets.push(label);
        });
      });
      const { objective } = await trainer.accumulate({
        sequences: golden.input_ids,
        objective: {
          kind: "cross-entropy",
          rows: Int32Array.from(rows),
          targets: Int32Array.from(targets),
          weights: new Float64Array(rows.length).fill(1 / rows.length),
        },
      });
      expect(objective).toBeCloseTo(golden.loss_f64, 5);
      const { lr, betas, eps, weight_decay } = golden.adamw;
      const [beta1, beta2] = betas;
      const rate = { lr, beta1, beta2, eps, weightDecay: weight_decay, clip: 0, gradientScale: 1 };
      await trainer.update(rate);
      const out = join(await scratch(), "tuned");
      await saveModel(model, out, { slices });

      const source = await openSafetensors(join(fixture(name), "model.safetensors"));
      const expected = await openSafetensors(join(fixture(name), "golden.safetensors"));
      const found = await openSafetensors(join(out, "model.safetensors"));
      const byName = (key: string) => expected.tensors.find((tensor) => tensor.name === key);
      const whole = new Set<string>(
        golden.masked.slices
          .filter((s: { dim?: number }) => s.dim === undefined)
          .map((s: { tensor: string }) => s.tensor),
      );
      let compared = 0;
      for (const [i, tensor] of found.tensors.entries()) {
        const masked = whole.has(tensor.name)
          ? byName(`adamw_full/${tensor.name}`)
          : byName(`adamw_masked/${tensor.name}`);
        if (masked === undefined) {
          const before = source.tensors[i];
          expect(before?.name).toBe(tensor.name);
          if (before) expect(await readTensorBytes(tensor)).toEqual(await readTensorBytes(before));
          continue;
        }
        const want = await readTensor(masked);
        const gradient = await readTensor(byName(`grad/${tensor.name}`) ?? masked);
        (await readTensor(tensor)).forEach((value, at) => {
          // Below 1e-6 rounding decides the step; the gradient of a key bias is nothing else.
          const size = Math.abs(gradient[at] as number);
          const small = size <= 1e-6 && (size > 0 || /(c_attn|k_proj)\.bias$/.test(tensor.name));
          const limit = small ? 2 * lr : 5 * golden.float32_deviation.adamw_full.max_abs;
          if (Math.abs(value - (want[at] as number)) > limit) {
            expect.fail(`${name} ${tensor.name}[${at}] is ${value}, expected ${want[at]}`);
          }
          ++compared;
        });
      }
      expect(compared).toBeGreaterThan(10000);
    }
  });

  test("shards keep their files, and a tied projection that is stored twice changes twice", async () => {
    const folder = await scratch();
    const source = join(folder, "source");
    await mkdir(source);
    await copyFile(fixture("llama-gqa/config.json"), join(source, "config.json"));
    await writeFile(join(source, "tokenizer_config.json"), "{}\n");
    await writeFile(join(source, "eval.json"), "stale");
    const { tensors } = await openSafetensors(fixture("llama-gqa/model.safetensors"));
    const copied = await Promise.all(
      tensors.map(async ({ name, dtype, shape }, i) => ({
        name,
        dtype,
        shape,
        data: await readTensorBytes(tensors[i] as (typeof tensors)[number]),
      })),
    );
    const embed = copied.find(({ name }) => name === "model.embed_tokens.weight");
    if (!embed) throw new Error("no embedding");
    const all = [...copied, { ...embed, name: "lm_head.weight" }];
    const half = Math.ceil(all.length / 2);
    const map: Record<string, string> = {};
    for (const [i, part] of [all.slice(0, half), all.slice(half)].entries()) {
      const file = `model-0000${i + 1}-of-00002.safetensors`;
      await writeSafetensors(join(source, file), part);
      for (const { name } of part) map[name] = file;
    }
    const index = join(source, "model.safetensors.index.json");
    await writeFile(index, JSON.stringify({ metadata: {}, weight_map: map }));
    // A cache of downloads is often read-only.
    for (const file of await readdir(source)) await chmod(join(source, file), 0o444);

    const model = await loadFolder(source, { allowUnknownConfig: true });
    const slices = await tuned(model, { everything: true });
    const out = join(folder, "tuned");
    const saved = await saveModel(model, out, { slices });
    expect(saved.tensors).toContain("lm_head.weight");
    expect(await checkSaved(model, out, { slices, probes })).toMatchObject({ maxAbs: 0 });
    expect((await readdir(out)).sort()).toEqual([
      "config.json",
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
      "tokenizer_config.json",
    ]);
    expect(await readFile(join(out, basename(index)))).toEqual(await readFile(index));
  });

  test("bfloat16 files get rounded numbers, and keep all others exactly", async () => {
    const folder = await scratch();
    const source = join(folder, "source");
    await mkdir(source);
    await copyFile(fixture("gpt2/config.json"), join(source, "config.json"));
    const { tensors } = await openSafetensors(fixture("gpt2/model.safetensors"));
    const halves = await Promise.all(
      tensors.map(async (tensor) => {
        const bits = Uint16Array.from(await readTensor(tensor), bfloatBits);
        const data = new Uint8Array(bits.buffer);
        return { name: tensor.name, dtype: "BF16" as const, shape: tensor.shape, data };
      }),
    );
    await writeSafetensors(join(source, "model.safetensors"), halves);
    const model = await loadFolder(source);
    const slices = await tuned(model);
    const out = join(folder, "tuned");
    await saveModel(model, out, { slices });
    const check = await checkSaved(model, out, { slices, probes });
    expect(check.isolation.unselectedChanged).toBe(0);
    expect(check.isolation.changedTensors.length).toBeGreaterThan(3);
    expect(check.maxAbs).toBeGreaterThan(0);
    // Two updates of 1e-3 rounded to 8 bits; the logits are about 1. Measured 0.0026.
    expect(check.maxAbs).toBeLessThan(0.02);
    const saved = await loadFolder(out);
    const slot = { slot: "wUp", layer: 1 } as const;
    const kept = await model.readWeight(slot);
    (await saved.readWeight(slot)).forEach((value, i) => {
      expect(bfloatBits(value)).toBe(bfloatBits(kept[i] as number));
    });
  });
});

describe("what must not happen", () => {
  test("an existing output is only replaced with force, and only by a complete model", async () => {
    const model = await load("gpt2");
    const slices = await tuned(model);
    const parent = await scratch();
    const out = join(parent, "tuned");
    await mkdir(out);
    await saveModel(model, out, { slices });
    await writeFile(join(out, "mine.txt"), "mine");
    const again = saveModel(model, out, { slices });
    await expect(again).rejects.toMatchObject({
      code: "OUTPUT_EXISTS",
      message: `${out} exists; choose another folder, or replace it with force`,
    });
    expect(await readFile(join(out, "mine.txt"), "utf8")).toBe("mine");
    await saveModel(model, out, { slices, force: true });
    expect(await readdir(out)).not.toContain("mine.txt");
    expect(await readdir(parent)).toEqual(["tuned"]);
    const own = saveModel(model, fixture("gpt2"), { slices, force: true });
    await expect(own).rejects.toThrow("is the folder that the model was loaded from");
  });

  test("a full disk leaves what was there and nothing else", async () => {
    const parent = await scratch();
    const out = join(parent, "tuned");
    await mkdir(out);
    await writeFile(join(out, "mine.txt"), "mine");
    const full = outputFolder(out, { force: true }, async (folder) => {
      await writeFile(join(folder, "config.json"), "{}");
      await symlink("/dev/full", join(folder, "model.safetensors"));
      await writeFile(join(folder, "model.safetensors"), "weights");
    });
    await expect(full).rejects.toMatchObject({
      code: "WRITE_FAILED",
      message: expect.stringMatching(/tuned: ENOSPC/),
    });
    expect(await readdir(parent)).toEqual(["tuned"]);
    expect(await readdir(out)).toEqual(["mine.txt"]);
    expect((await stat("/dev/full")).isCharacterDevice()).toBe(true);
  });

  test("a source that was replaced, an output below a file, an abort: clear, and nothing is left", async () => {
    const folder = await scratch();
    const source = join(folder, "source");
    await cp(fixture("gpt2"), source, { recursive: true });
    const model = await loadFolder(source);
    const slices = selectSlices(model, select);
    await writeFile(join(folder, "file"), "");
    const below = saveModel(model, join(folder, "file", "tuned"), { slices });
    await expect(below).rejects.toMatchObject({ code: "WRITE_FAILED" });
    const aborted = saveModel(model, join(folder, "t"), { slices, signal: AbortSignal.abort() });
    await expect(aborted).rejects.toMatchObject({ code: "CANCELLED" });
    await copyFile(fixture("llama/model.safetensors"), join(source, "model.safetensors"));
    await expect(saveModel(model, join(folder, "t"), { slices })).rejects.toMatchObject({
      code: "BAD_CHECKPOINT",
      message: expect.stringContaining("was replaced since the model was loaded"),
    });
    expect((await readdir(folder)).sort()).toEqual(["file", "source"]);
  });

  test("a stored number that changed outside the selection is found", async () => {
    const model = await load("llama");
    const slices = await tuned(model);
    const out = join(await scratch(), "tuned");
    await saveModel(model, out, { slices });
    const path = join(out, "model.safetensors");
    const { tensors } = await openSafetensors(path);
    const norm = tensors.find(({ name }) => name === "model.norm.weight");
    const bytes = await readFile(path);
    bytes.writeFloatLE(3, norm?.offset);
    await writeFile(path, bytes);
    await expect(checkSaved(model, out, { slices, probes })).rejects.toMatchObject({
      code: "VERIFICATION_FAILED",
      message: expect.stringContaining("weights changed that were not selected: finalNorm"),
    });
    const difference = await diffCheckpoints(fixture("llama"), out);
    expect(difference.changed.find(({ tensor }) => tensor === "model.norm.weight")).toMatchObject({
      changed: 1,
      count: model.spec.dModel,
      pieces: ["finalNorm"],
    });
    // A selected number that is not the tuned one shows in the logits.
    const up = tensors.find(({ name }) => name === "model.layers.1.mlp.up_proj.weight");
    bytes.writeFloatLE(3, up?.offset);
    const first = tensors.find(({ name }) => name === "model.norm.weight");
    const original = await readFile(fixture("llama/model.safetensors"));
    original.copy(bytes, first?.offset, first?.offset, (first?.offset ?? 0) + 4);
    await writeFile(path, bytes);
    await expect(checkSaved(model, out, { slices, probes })).rejects.toThrow("logits differ");
  });
});

test("what differs between two checkpoints is named by head", async () => {
  const model = await load("gpt2");
  const slices = await tuned(model, { heads: parseHeads("0.1,2.3") });
  const out = join(await scratch(), "tuned");
  await saveModel(model, out, { slices });
  const { changed, tensors } = await diffCheckpoints(fixture("gpt2"), out);
  expect(tensors).toBe(model.files.tensors.size);
  const fused = changed.find(({ tensor }) => tensor === "transformer.h.2.attn.c_attn.weight");
  expect(fused?.pieces).toEqual(["wq 2.3", "wk 2.3", "wv 2.3"]);
  expect(fused?.changed).toBeLessThanOrEqual(3 * 12 * 48);
  expect(fused?.maxAbs).toBeGreaterThan(1e-4);
  // Two Adam updates move a number by about the learning rate each.
  expect(fused?.maxAbs).toBeLessThan(2.1e-3);
  expect(fused?.norm).toBeLessThan(fused?.normA ?? 0);
  const other = await diffCheckpoints(fixture("gpt2"), fixture("llama")).catch((error) => error);
  expect(other.incomparable.length).toBeGreaterThan(10);
});
