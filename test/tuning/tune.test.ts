import { readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FloatArray } from "@keyheads/native";
import { describe, expect, test } from "vitest";
import { answersOf } from "../../packages/keyheads/src/evaluation/answers.ts";
import { metricsFiles, readMetrics } from "../../packages/keyheads/src/tuning/metrics.ts";
import type { TuneEvent, TuneOptions } from "../../packages/keyheads/src/tuning/options.ts";
import { parseHeads } from "../../packages/keyheads/src/tuning/selection.ts";
import { snapshotWeights } from "../../packages/keyheads/src/tuning/snapshot.ts";
import { tune } from "../../packages/keyheads/src/tuning/tune.ts";
import { validate } from "../../packages/keyheads/src/tuning/validation.ts";
import { load, randomItems, scratch, weightBits } from "./models.ts";

const select = { heads: parseHeads("0.1,2.3"), mlps: [1] };
const settings = { select, batch: 4, lr: 1e-3, weightDecay: 0.1, seed: 3 } as const;

describe("tuning", () => {
  test.each(["gpt2", "llama-gqa"])(
    "%s: learns its items and changes nothing else",
    async (name) => {
      const model = await load(name);
      const before = await weightBits(model);
      const events: TuneEvent[] = [];
      const train = randomItems(12, model.spec.vocab);
      const result = await tune(model, {
        ...settings,
        lr: 3e-3,
        train,
        epochs: 12,
        onEvent: (event) => events.push(event),
      });
      expect(result).toMatchObject({
        method: "precise",
        heads: ["0.1", "2.3"],
        mlps: [1],
        steps: 36,
      });
      expect(result.loss).toHaveLength(36);
      expect(result.loss.at(-1)).toBeLessThan(0.5 * (result.loss[0] as number));
      expect(result.isolation.unselectedChanged).toBe(0);
      expect(result.totalParameters).toBe(model.parameterCount);

      const touched = new Set<string>();
      for (const [slot, bits] of Object.entries(await weightBits(model))) {
        if (bits !== before[slot]) touched.add(slot);
      }
      const own = ["wq.0", "wo.0", "wq.2", "wo.2", "wUp.1", "wDown.1"];
      const more =
        name === "gpt2"
          ? ["wk.0", "wv.0", "wk.2", "wv.2", "bq.0", "bv.0", "bq.2", "bv.2", "bUp.1", "bDown.1"]
          : ["wGate.1"];
      // A key bias has a gradient of zero but for rounding; weight decay moves it if it is not zero.
      expect([...touched].filter((slot) => !slot.startsWith("bk")).sort()).toEqual(
        [...own, ...more].sort(),
      );
      expect(events[0]).toMatchObject({ type: "start", step: 0, steps: 36, items: 12 });
      const steps = events.filter((event) => event.type === "step");
      expect(steps.map(({ step }) => step)).toEqual(result.loss.map((_, i) => i + 1));
      expect(steps.map(({ loss }) => loss)).toEqual(result.loss);
    },
  );

  test("k batches of b items are one batch of k b, items of any answer length", async () => {
    const runs: FloatArray[][] = [];
    for (const [batch, accumulate] of [
      [8, 1],
      [2, 4],
    ] as const) {
      const model = await load("gpt2", { dtype: "f64" });
      const train = randomItems(16, model.spec.vocab);
      // Without Adam's division by the gradient's own size, the weights follow the gradient.
      const rate = { lr: 0.5, eps: 1, weightDecay: 0 };
      await tune(model, { ...settings, ...rate, train, batch, accumulate, steps: 4 });
      runs.push(await Promise.all(model.files.slots.map((slot) => model.readWeight(slot))));
    }
    const initial = await load("gpt2", { dtype: "f64" });
    runs.push(await Promise.all(initial.files.slots.map((slot) => initial.readWeight(slot))));
    const distance = (a = 0, b = 0) => {
      let most = 0;
      runs[a]?.forEach((values, slot) => {
        values.forEach((value, i) => {
          most = Math.max(most, Math.abs(value - (runs[b]?.[slot]?.[i] as number)));
        });
      });
      return most;
    };
    expect(distance(0, 2)).toBeGreaterThan(1e-3);
    // Rounding of doubles over four updates. Measured 1.1e-16.
    expect(distance(0, 1)).toBeLessThan(2e-15);
  });

  test("gradient scaling by heads changes nothing under Adam but for eps and clipping", async () => {
    const losses: (readonly number[])[] = [];
    for (const gradientScale of ["none", "heads"] as const) {
      const model = await load("gpt2", { dtype: "f64" });
      const train = randomItems(8, model.spec.vocab);
      const own = { ...settings, select: { heads: select.heads }, clip: 0, eps: 1e-14 };
      losses.push((await tune(model, { ...own, train, steps: 4, gradientScale })).loss);
    }
    losses[0]?.forEach((loss, i) => {
      expect(losses[1]?.[i]).toBeCloseTo(loss, 6);
    });
  });

  test("the methods full and random", async () => {
    const model = await load("llama");
    const train = randomItems(4, model.spec.vocab);
    const random = await tune(model, { ...settings, method: "random", train, steps: 1 });
    expect(random.method).toBe("random");
    expect(random.heads).not.toEqual(["0.1", "2.3"]);
    expect(random.heads.map((head) => head.split(".")[0])).toEqual(["0", "2"]);
    expect(random.isolation.unselectedChanged).toBe(0);
    const full = await tune(model, { select: { everything: true }, train, steps: 1 });
    expect(full.method).toBe("full");
    expect(full.trainedParameters).toBe(model.parameterCount);
  });

  test("weights can be put back, bit for bit", async () => {
    const model = await load("gpt2");
    const before = await weightBits(model);
    const snapshot = await snapshotWeights(model, select);
    const train = randomItems(4, model.spec.vocab);
    await tune(model, { ...settings, train, steps: 2 });
    expect(await weightBits(model)).not.toEqual(before);
    await snapshot.restore();
    expect(await weightBits(model)).toEqual(before);
  });

  test("evaluation is called on time and can end the run", async () => {
    const model = await load("gpt2");
    const called: number[] = [];
    const result = await tune(model, {
      ...settings,
      train: answersOf(randomItems(4, model.spec.vocab)),
      steps: 20,
      evaluateEvery: 3,
      evaluate: async (step) => {
        called.push(step);
        return step >= 6 ? "stop" : undefined;
      },
    });
    expect(called).toEqual([3, 6]);
    expect(result.steps).toBe(6);
  });
});

describe("bad input", () => {
  const run = async (options: Partial<TuneOptions>) => {
    const model = await load("gpt2");
    return await tune(model, { ...settings, train: randomItems(4, 100), steps: 1, ...options });
  };
  test("is refused with a code and the remedy", async () => {
    await expect(run({ method: "sparse" as "full" })).rejects.toMatchObject({
      code: "USAGE",
      message: expect.stringContaining('method "sparse" does not exist; use precise, full'),
    });
    await expect(run({ train: [] })).rejects.toMatchObject({ code: "BAD_ITEMS" });
    const items = [...randomItems(3, 100), { id: "q", line: 9, promptIds: [1], answerIds: [] }];
    await expect(run({ train: items })).rejects.toMatchObject({
      code: "BAD_ITEMS",
      message: "item q (line 9) has no answer token; it needs at least one",
    });
    const long = [{ id: "q", line: 9, promptIds: Array(80).fill(1), answerIds: [1] }];
    await expect(run({ train: [...randomItems(3, 100), ...long] })).rejects.toMatchObject({
      code: "BAD_ITEMS",
      message: expect.stringMatching(/item 3 .*has 81 tokens.*context is/),
    });
    await expect(run({ select: { heads: parseHeads("7.0") } })).rejects.toThrow(
      "head 7.0 does not exist",
    );
    await expect(run({ method: "random", select: { mlps: [1] } })).rejects.toMatchObject({
      code: "USAGE",
    });
  });

  test("a loss that is not finite stops the run, names the batch and changes no weight", async () => {
    const model = await load("gpt2");
    const embed = await model.readWeight({ slot: "embed", layer: -1 });
    embed.fill(Number.NaN, 5 * model.spec.dModel, 6 * model.spec.dModel);
    await model.writeWeight({ slot: "embed", layer: -1 }, embed);
    const before = await weightBits(model);
    const train = [{ id: "a", line: 1, promptIds: [5, 1], answerIds: [2] }];
    await expect(tune(model, { ...settings, train, steps: 2 })).rejects.toMatchObject({
      code: "NON_FINITE",
      message: expect.stringMatching(/update 1 of 2: the loss is NaN in the batch of items 0/),
    });
    expect(await weightBits(model)).toEqual(before);
  });
});

describe("validation", () => {
  test("ends the run when the loss stops falling, and the best weights are kept", async () => {
    const model = await load("gpt2");
    const train = randomItems(8, model.spec.vocab);
    const validation = randomItems(6, model.spec.vocab, 2);
    const events: TuneEvent[] = [];
    // Random answers cannot be learnt from others: training makes the validation worse at once.
    const options = { ...settings, lr: 1e-2, train, validation, steps: 40, evaluateEvery: 2 };
    const result = await tune(model, {
      ...options,
      patience: 3,
      onEvent: (event) => events.push(event),
    });
    const losses = result.validation?.map(({ loss }) => loss) ?? [];
    const best = losses.indexOf(Math.min(...losses));
    expect(result.validation?.map(({ step }) => step)).toEqual(losses.map((_, i) => 2 * (i + 1)));
    expect(losses.length - 1 - best).toBe(3);
    expect(result.steps).toBe(2 * losses.length);
    expect(result.bestStep).toBe(2 * (best + 1));
    expect(events.filter(({ type }) => type === "validation")).toHaveLength(losses.length);

    const shorter = await load("gpt2");
    await tune(shorter, { ...options, steps: 2 * (best + 1) });
    expect(await weightBits(model)).toEqual(await weightBits(shorter));
    const { loss } = await validate(shorter, answersOf(validation), 0);
    expect(loss).toBe(losses[best]);
  });

  test("metrics of a resumed run are those of one that never stopped", async () => {
    const [folder, whole] = [await scratch(), await scratch()];
    const model = await load("gpt2");
    const train = randomItems(8, model.spec.vocab);
    const options = { ...settings, train, validation: train, evaluateEvery: 2 };
    const columns = async (dir: string) =>
      (await readMetrics(dir)).map(({ seconds, ...row }) => ({ ...row, timed: seconds > 0 }));
    await tune(await load("gpt2"), { ...options, steps: 5, checkpointDir: whole });
    await tune(model, { ...options, steps: 3, checkpointDir: folder });
    // Written after the checkpoint, and the last line cut off, as a killed run may leave them.
    const path = join(folder, metricsFiles.jsonl);
    await writeFile(path, `${await readFile(path, "utf8")}{"step":4,"loss":1}\n{"step":5,"lo`);
    const resumed = { ...options, steps: 5, checkpointDir: folder, resume: true };
    await tune(await load("gpt2"), resumed);
    expect(await columns(folder)).toEqual(await columns(whole));
    const csv = (await readFile(join(folder, metricsFiles.csv), "utf8")).trim().split("\n");
    expect(csv).toHaveLength(6);
    expect(csv[0]).toBe("step,loss,lr,gradientNorm,tokens,seconds,evalLoss,evalAccuracy");
    expect(csv[2]?.split(",").at(-2)).toBe(String((await columns(folder))[1]?.evalLoss));
    expect(csv[1]?.endsWith(",,")).toBe(true);
  });
});

const files = ["checkpoint.safetensors", "metrics.csv", "metrics.jsonl"];

describe("checkpoints", () => {
  test("20 updates are 10, a stop, and 10 more, bit for bit", async () => {
    const folder = await scratch();
    const whole = await load("gpt2");
    const train = randomItems(14, whole.spec.vocab);
    const options = { ...settings, train, schedule: "cosine", warmup: 3, steps: 20 } as const;
    const reference = await tune(whole, options);

    const stopped = await load("gpt2");
    const abort = new AbortController();
    const first = tune(stopped, {
      ...options,
      checkpointDir: folder,
      signal: abort.signal,
      onEvent: (event) => event.type === "step" && event.step === 10 && abort.abort(),
    });
    await expect(first).rejects.toMatchObject({
      code: "CANCELLED",
      message: expect.stringContaining("after update 10 of 20"),
    });
    expect(await readdir(folder)).toEqual(files);

    const resumed = await load("gpt2");
    const second = await tune(resumed, { ...options, checkpointDir: folder, resume: true });
    expect(second.loss).toEqual(reference.loss);
    expect(second.isolation).toEqual(reference.isolation);
    expect(await weightBits(resumed)).toEqual(await weightBits(whole));
  });

  test("a run at a constant rate can be made longer; a finished one has nothing left to do", async () => {
    const folder = await scratch();
    const whole = await load("llama");
    const options = { ...settings, train: randomItems(6, whole.spec.vocab) };
    const reference = await tune(whole, { ...options, steps: 6 });
    await tune(await load("llama"), { ...options, steps: 4, checkpointDir: folder });
    const longer = await load("llama");
    const more = { ...options, steps: 6, checkpointDir: folder, resume: true };
    expect((await tune(longer, more)).loss).toEqual(reference.loss);
    expect(await weightBits(longer)).toEqual(await weightBits(whole));
    const again = await tune(await load("llama"), more);
    expect(again.loss).toEqual(reference.loss);
  });

  test("of another run are refused, naming what differs", async () => {
    const folder = await scratch();
    const model = await load("gpt2");
    const train = randomItems(6, model.spec.vocab);
    const options = { ...settings, train, steps: 2, checkpointDir: folder };
    await expect(tune(model, { ...options, resume: true })).rejects.toMatchObject({
      code: "BAD_CHECKPOINT",
      message: expect.stringContaining("there is nothing to resume"),
    });
    await tune(model, options);
    const resume = { ...options, resume: true };
    for (const [change, message] of [
      [{ lr: 2e-3 }, "its lr is 0.001, this run's is 0.002"],
      [{ train: randomItems(6, model.spec.vocab, 9) }, "its items is"],
      [{ select: { heads: select.heads } }, "its slices is"],
    ] as const) {
      const fresh = await load("gpt2");
      await expect(tune(fresh, { ...resume, ...change })).rejects.toThrow(message);
    }
    const other = await load("gpt2");
    const norm = await other.readWeight({ slot: "finalNorm", layer: -1 });
    await other.writeWeight(
      { slot: "finalNorm", layer: -1 },
      norm.map((x: number) => 2 * x),
    );
    await expect(tune(other, resume)).rejects.toThrow("its unselectedWeights is");
  });

  test("a failed write leaves the old checkpoint and says where and why", async () => {
    const folder = await scratch();
    const model = await load("gpt2");
    const train = randomItems(6, model.spec.vocab);
    const options = { ...settings, train, checkpointDir: folder };
    await tune(model, { ...options, steps: 2 });
    const path = join(folder, "checkpoint.safetensors");
    const old = await readFile(path);
    // Where the new file is written first, the disk is full.
    await symlink("/dev/full", `${path}.${process.pid}.tmp`);
    const more = { ...options, steps: 4, resume: true };
    await expect(tune(await load("gpt2"), more)).rejects.toMatchObject({
      code: "WRITE_FAILED",
      message: expect.stringMatching(/checkpoint\.safetensors.*ENOSPC/),
    });
    expect(await readdir(folder)).toEqual(files);
    expect((await readFile(path)).equals(old)).toBe(true);
  });
});
