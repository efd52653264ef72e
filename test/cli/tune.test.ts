// Tuning from the command line: what it writes, what it leaves alone, and what remains of it when it
// is interrupted or the disk is full.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { BudgetComparison, TuneResult } from "../../packages/keyheads/src/results.ts";
import type { CheckpointDifference } from "../../packages/keyheads/src/save/diff-checkpoints.ts";
import { failure, json, keyheads, planted, problems, scratch, start } from "./keyheads.ts";

const heads = ["--heads", "0.2,1.5"];
const tune = (out: string, ...more: readonly string[]) => [
  ...["tune", planted, "--items", problems, "--out", out, "--lr", "1e-3"],
  ...more,
];
const weights = (folder: string) => readFileSync(join(folder, "model.safetensors"));

describe("a finished run", () => {
  test("writes a whole model and says what it trained", async () => {
    const out = join(scratch(), "tuned");
    const result = (await json(tune(out, ...heads, "--steps", "3"))) as unknown as TuneResult & {
      readonly saved: object;
    };
    expect(result).toMatchObject({
      method: "precise",
      heads: ["0.2", "1.5"],
      mlps: [],
      steps: 3,
      out,
      items: { used: 300, dropped: [] },
      isolation: { unselectedChanged: 0 },
    });
    expect(result.loss).toHaveLength(3);
    const files = readdirSync(out);
    const more = ["keyheads.json", "metrics.jsonl", "metrics.csv"];
    for (const name of ["config.json", "tokenizer.json", ...more]) expect(files).toContain(name);
    expect(result.saved).toEqual({ probes: 4, maxAbs: 0 });
    const manifest = JSON.parse(readFileSync(join(out, "keyheads.json"), "utf8"));
    expect(manifest.slices).toHaveLength(result.isolation.checked);
    for (const { name, selected, before, after } of manifest.slices) {
      if (!selected) expect(after, name).toBe(before);
    }
    expect(manifest.slices.find(({ name }: { name: string }) => name === "wo 0.2")).toMatchObject({
      selected: true,
    });
    expect(weights(out)).toHaveLength(weights(planted).length);
    expect(weights(out)).not.toEqual(weights(planted));
    expect(existsSync(`${out}.tuning`)).toBe(false);

    const evaluated = await json(["eval", out, "--items", problems, "--baseline", planted]);
    expect(evaluated).toMatchObject({ n: 300, paired: { baseline: 1 } });
  });

  test("has the same bits when it is repeated", async () => {
    const folder = scratch();
    const [a, b] = [join(folder, "a"), join(folder, "b")];
    for (const out of [a, b]) await json(tune(out, ...heads, "--steps", "2", "--seed", "4"));
    expect(weights(a)).toEqual(weights(b));
  });

  test("has the same bits whatever is kept of the layers below, in memory or on disk", async () => {
    const folder = scratch();
    const budgets = {
      plenty: [],
      none: ["--prefix-memory", "0"],
      disk: ["--prefix-memory", "20KB", "--prefix-disk", "20KB"],
    };
    const losses: unknown[] = [];
    for (const [name, budget] of Object.entries(budgets)) {
      const out = join(folder, name);
      const lowest = ["--heads", "1.5", "--epochs", "2", "--batch", "64"];
      losses.push((await json(tune(out, ...lowest, ...budget))).loss);
      expect(weights(out), name).toEqual(weights(join(folder, "plenty")));
    }
    for (const loss of losses) expect(loss).toEqual(losses[0]);
    const wrong = tune(join(folder, "x"), "--heads", "1.5", "--prefix-disk", "much");
    expect(await failure(wrong, 2)).toMatch(/--prefix-disk/);
  });

  test("is a table without --json", async () => {
    const out = join(scratch(), "tuned");
    const { code, stdout } = await keyheads(...tune(out, "--mlps", "2", "--steps", "2"));
    expect(code).toBe(0);
    expect(stdout).toMatch(/^trained +[\d,]+ of [\d,]+ parameters/);
    expect(stdout).toMatch(/unselected weights changed +0 of/);
  });

  test("a plan computes nothing", async () => {
    const out = join(scratch(), "tuned");
    const result = await json(tune(out, ...heads, "--steps", "2", "--dry-run"));
    expect(result).toMatchObject({ dryRun: true, plan: { steps: [{ what: "2 updates" }] } });
    expect(existsSync(out)).toBe(false);
  });
});

test("selections, the delta, merge and diff", async () => {
  const folder = scratch();
  const out = join(folder, "tuned");
  const select = join(folder, "select.json");
  writeFileSync(select, JSON.stringify({ heads: ["0.2"], matrices: ["wDown.2"] }));
  const delta = join(folder, "delta.safetensors");
  const more = ["--select", select, "--layers", "3", "--steps", "2", "--save-delta", delta];
  const result = (await json(tune(out, ...more))) as unknown as TuneResult;
  expect(result.mlps).toEqual([3]);
  expect(result.heads).toContain("0.2");
  expect(result.heads.filter((head) => head.startsWith("3."))).toHaveLength(
    result.heads.length - 1,
  );

  const difference = (await json(["diff", planted, out])) as unknown as CheckpointDifference;
  const changed = difference.changed.map(({ tensor }) => tensor);
  expect(changed.sort()).toEqual([...result.isolation.changedTensors].sort());
  const pieces = difference.changed.flatMap((one) => one.pieces);
  expect(pieces).toEqual(expect.arrayContaining(["wo 0.2", "wDown 2", "wq 3.0"]));
  expect(pieces).not.toContain("wo 0.1");

  const merged = join(folder, "merged");
  await json(["merge", planted, "--delta", delta, "--out", merged]);
  expect(weights(merged)).toEqual(weights(out));
  const evaluate = (...args: readonly string[]) => json(["eval", ...args, "--items", problems]);
  const direct = await evaluate(planted, "--delta", delta, "--baseline", planted);
  const { logprob, paired } = await evaluate(out, "--baseline", planted);
  expect(direct).toMatchObject({ logprob, paired });

  expect(await failure(tune(join(folder, "x"), "--matrices", "wq.99"), 2)).toMatch(
    /there is no weight wq\.99; name a slot/,
  );
  expect(await failure(tune(join(folder, "x"), "--layers", "9-8"), 2)).toMatch(/no layer or range/);
  const empty = join(folder, "empty.jsonl");
  writeFileSync(empty, '{"prompt": "1 + 2 =", "answer": ""}\n');
  expect(
    await failure(["tune", planted, "--items", empty, ...heads, "--out", join(folder, "x")], 1),
  ).toMatch(/line 1, has no token to learn: .*learnt: nothing/);
});

test("LoRA leaves a merged model and an adapter; offsets need a place", async () => {
  const folder = scratch();
  const out = join(folder, "lora");
  const result = await json(tune(out, "--method", "lora", ...heads, "--rank", "2", "--steps", "2"));
  expect(result).toMatchObject({
    method: "lora",
    adapter: `${out}-adapter`,
    isolation: { changedTensors: [], unselectedChanged: 0 },
    saved: { maxAbs: 0 },
  });
  expect(readdirSync(`${out}-adapter`).sort()).toEqual([
    "adapter_config.json",
    "adapter_model.safetensors",
  ]);
  const difference = (await json(["diff", planted, out])) as unknown as CheckpointDifference;
  expect(difference.changed.flatMap(({ pieces }) => pieces)).toContain("wo 0.2");
  const all = ["--method", "lora", "--modules", "wq,wv", "--steps", "1"];
  const modules = await json(tune(join(folder, "modules"), ...all));
  expect(modules.trainedParameters).toBeGreaterThan(result.trainedParameters as number);

  expect(await failure(tune(join(folder, "x"), "--method", "offsets", ...heads), 2)).toMatch(
    /no bias of the attention's output to hold offsets of heads; give --save-delta/,
  );
  const delta = join(folder, "offsets.safetensors");
  const offsets = ["--method", "offsets", ...heads, "--steps", "2", "--save-delta", delta];
  await json(["tune", planted, "--items", problems, "--lr", "1e-2", ...offsets]);
  const evaluated = await json(["eval", planted, "--items", problems, "--delta", delta]);
  const base = await json(["eval", planted, "--items", problems]);
  expect(evaluated.logprob).toBeGreaterThan(base.logprob as number);
});

test("compare-tuning gives a table and all numbers", async () => {
  const lines = readFileSync(problems, "utf8").trim().split("\n");
  const folder = scratch();
  const part = (name: string, from: number, to: number) => {
    writeFileSync(join(folder, name), `${lines.slice(from, to).join("\n")}\n`);
    return join(folder, name);
  };
  const args = [
    ...["compare-tuning", planted, "--items", part("train.jsonl", 0, 30)],
    ...["--test", part("test.jsonl", 30, 50), "--also", part("also.jsonl", 50, 62)],
    ...[...heads, "--steps", "1", "--batch", "8", "--lrs", "1e-3", "--patch"],
  ];
  const methods = ["--methods", "precise,offsets"];
  const result = (await json([...args, ...methods])) as unknown as BudgetComparison;
  expect(result.methods.map(({ name }) => name)).toEqual(["precise", "offsets"]);
  expect(result.methods[0]?.others[0]?.name).toBe("also.jsonl");
  const { code, stdout } = await keyheads(...args, "--methods", "precise");
  expect(code).toBe(0);
  expect(stdout).toMatch(/^method +parameters +rate +task +change/);
  expect(stdout).toMatch(/^the 2 heads +[\d,]+ +0\.001/m);
  const more = ["--methods", "random", "--draws", "1", "--gain", "0.5"];
  const matched = await keyheads(...args, ...more);
  expect(matched.code, matched.stderr).toBe(0);
  expect(matched.stdout).toMatch(/^random heads \d\.\d, \d\.\d /m);
  expect(matched.stdout).toMatch(/^at a gain of 0\.5 points on task:\nmethod +replay/m);
  expect(matched.stdout).toMatch(/^key heads 0\.2, 1\.5 +no /m);
  expect(matched.stdout).toMatch(/^Random heads, 20 draws +no /m);
  expect(matched.stdout).toMatch(/Without replay: (not )?supported/);
  expect(matched.stderr).toMatch(/key heads 0\.2, 1\.5: gain /);
  expect(await failure([...args.slice(0, 2), ...args.slice(2), "--methods", "x"], 2)).toMatch(
    /--methods: expected a list of precise, full/,
  );
});

test("an output that exists is refused, and is still there", async () => {
  const out = scratch();
  writeFileSync(join(out, "mine.txt"), "mine");
  expect(await failure(tune(out, ...heads), 2)).toContain(`${out} exists`);
  expect(readdirSync(out)).toEqual(["mine.txt"]);
});

test("a killed run goes on from its last checkpoint to the same bits", async () => {
  const folder = scratch();
  const out = join(folder, "tuned");
  const metrics = join(`${out}.tuning`, "metrics.jsonl");
  const running = start(tune(out, ...heads, "--steps", "100000", "--checkpoint-every", "2"));
  await running.seen("training ");
  const lines = () => (existsSync(metrics) ? readFileSync(metrics, "utf8").split("\n").length : 0);
  while (lines() < 6) await new Promise((resolve) => setTimeout(resolve, 20));
  running.process.kill("SIGKILL");
  await running.outcome;
  const steps = ["--steps", "20"];
  const resumed = await json(tune(out, ...heads, ...steps, "--resume", `${out}.tuning`));
  const whole = join(folder, "whole");
  const reference = await json(tune(whole, ...heads, ...steps));
  expect(weights(out)).toEqual(weights(whole));
  expect(resumed.loss).toEqual(reference.loss);
});

describe("Ctrl-C", () => {
  test("leaves no output, keeps a checkpoint, and --resume ends at the same bits", async () => {
    const folder = scratch();
    const out = join(folder, "tuned");
    const running = start(tune(out, ...heads, "--steps", "100000", "--checkpoint-every", "5"));
    await running.seen("training ");
    await new Promise((resolve) => setTimeout(resolve, 1000));
    running.process.kill("SIGINT");
    const { code, stdout, stderr } = await running.outcome;
    expect({ code, stdout }, stderr).toEqual({ code: 130, stdout: "" });
    expect(stderr).toMatch(/stopping; press Ctrl-C again/);
    expect(stderr).toMatch(/--resume/);
    expect(existsSync(out)).toBe(false);
    const done = Number(/stopped after update (\d+) of 100000/.exec(stderr)?.[1]);
    expect(done).toBeGreaterThan(0);

    // Starting anew would lose the checkpoint.
    const again = await failure(tune(out, ...heads, "--steps", "3"), 2);
    expect(again).toMatch(/holds the checkpoint of an interrupted run; continue it with --resume/);

    const steps = ["--steps", String(done + 3)];
    await json(tune(out, ...heads, ...steps, "--resume", `${out}.tuning`));
    const whole = join(folder, "whole");
    await json(tune(whole, ...heads, ...steps));
    expect(weights(out)).toEqual(weights(whole));
    expect(existsSync(`${out}.tuning`)).toBe(false);
  });

  test("with --force leaves the older output as it was", async () => {
    const out = join(scratch(), "tuned");
    await json(tune(out, ...heads, "--steps", "1"));
    const before = weights(out);
    const running = start(tune(out, ...heads, "--steps", "100000", "--force", "--json"));
    await running.seen("training ");
    running.process.kill("SIGINT");
    const { code, stdout } = await running.outcome;
    expect(code).toBe(130);
    expect(JSON.parse(stdout)).toMatchObject({ schemaVersion: 1, error: { code: "CANCELLED" } });
    expect(weights(out)).toEqual(before);
  });
});

/** A file system of so many kibibytes, or undefined where mounting is not allowed. */
function smallDisk(kib: number): string | undefined {
  const folder = join(scratch(), "disk");
  mkdirSync(folder);
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${kib}k`, "tmpfs", folder]);
  if (mounted.status !== 0) return undefined;
  onTestFinished(() => void execFileSync("umount", [folder]));
  return folder;
}

test("a full disk: exit code 1, no half a model, the older output as it was", async (context) => {
  // The weights are 1.5 MB.
  const disk = smallDisk(1000);
  if (disk === undefined) return context.skip("mounting a small file system is not allowed here");
  const out = join(disk, "tuned");
  mkdirSync(out);
  writeFileSync(join(out, "mine.txt"), "mine");
  const message = await failure(tune(out, ...heads, "--steps", "1", "--force"), 1);
  expect(message).toMatch(/no space left|ENOSPC|full/i);
  expect(readdirSync(out)).toEqual(["mine.txt"]);
  const { error } = await json(tune(join(disk, "new"), ...heads, "--steps", "1"), 1);
  expect(error).toMatchObject({ code: "WRITE_FAILED" });
  expect(existsSync(join(disk, "new"))).toBe(false);
  expect(
    readdirSync(disk).filter((name) => !/^(tuned|new\.tuning|tuned\.tuning)$/.test(name)),
  ).toEqual([]);
});
