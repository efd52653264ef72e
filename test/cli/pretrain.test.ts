// Pretraining from the command line: a whole small run, killed and resumed.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { tinyConfig } from "../pretraining/tiny-config.ts";
import { failure, json, keyheads, scratch, start } from "./keyheads.ts";

const all = tinyConfig;
const config = { ...all, texts: [{ ...all.texts[0], heldOutFrom: "It must have been almost" }] };

/** A config file in a folder of its own. */
function written(content: object): { file: string; folder: string } {
  const folder = scratch();
  const file = join(folder, "config.json");
  writeFileSync(file, JSON.stringify(content));
  return { file, folder };
}

const rows = (folder: string) =>
  readFileSync(join(folder, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => ({ ...(JSON.parse(line) as { step: number }), seconds: 0 }));
const weights = (folder: string) => readFileSync(join(folder, "model.safetensors"));

test("--dry-run plans and writes nothing", async () => {
  const { file, folder } = written(all);
  const args = ["pretrain", file, "--out", join(folder, "out"), "--dry-run", "--threads", "2"];
  const { plan, ...shared } = await json(args);
  expect(shared).toMatchObject({ dryRun: true, parameters: 24240, tokens: 30 * 4 * 48 });
  // Weights in f32, and at the least gradients and two moments beside them.
  const { weightBytes, peakBytes, seconds } = plan as Record<string, number>;
  expect(weightBytes).toBeGreaterThanOrEqual(4 * 24240);
  expect(peakBytes).toBeGreaterThan(4 * (weightBytes as number));
  expect(seconds).toBeGreaterThan(0);
  const { stdout } = await keyheads(...args);
  expect(stdout).toMatch(/^24,240 parameters, 5,760 tokens\n/);
  expect(stdout).toMatch(/nothing was computed\n$/);
  expect(readdirSync(folder)).toEqual(["config.json"]);
});

test("a run that is killed and resumed gives the bits and the metrics of one that was not", async () => {
  const { file, folder } = written(all);
  const [whole, cut] = [join(folder, "whole"), join(folder, "cut")];
  const result = await json(["pretrain", file, "--out", whole, "--threads", "1"]);
  expect(result).toMatchObject({ steps: 30, parameters: 24240, out: whole });
  expect(result.loss).toHaveLength(30);

  const running = start(["pretrain", file, "--out", cut, "--threads", "1"]);
  onTestFinished(() => void running.process.kill("SIGKILL"));
  while (!existsSync(join(`${cut}.pretraining`, "checkpoint.safetensors"))) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  running.process.kill("SIGKILL");
  await running.outcome;
  expect(existsSync(cut)).toBe(false);
  const resumed = ["pretrain", file, "--out", cut, "--resume", `${cut}.pretraining`];
  const again = await json([...resumed, "--threads", "2"]);
  expect(again.loss).toEqual(result.loss);
  expect(weights(cut)).toEqual(weights(whole));
  expect(rows(`${cut}.pretraining`)).toEqual(rows(`${whole}.pretraining`));
  expect(rows(`${whole}.pretraining`).at(-1)).toMatchObject({ step: 30, probe: {} });

  // The trained folder is a model like any other.
  const inspected = await keyheads("generate", cut, "--prompt", "12 + 7 = ", "--max-tokens", "1");
  expect(inspected.code).toBe(0);

  // Another config, or the same again, is refused.
  writeFileSync(file, JSON.stringify({ ...all, seed: 8 }));
  const other = join(folder, "other");
  const resume = ["--out", other, "--resume", `${cut}.pretraining`];
  expect(await failure(["pretrain", file, ...resume], 1)).toMatch(/its seed is 7, this run's is 8/);
  mkdirSync(`${other}.pretraining`);
  expect(await failure(["pretrain", file, "--out", other], 2)).toMatch(/--resume/);
});

test.each([
  ["a field that it does not know", { ...all, colour: 1 }, /colour/, 2],
  ["a text without the line", config, /no line "It must have been almost"/, 1],
] as [string, object, RegExp, number][])("refuses %s", async (_, content, message, code) => {
  const { file, folder } = written(content);
  const out = join(folder, "out");
  expect(await failure(["pretrain", file, "--out", out], code)).toMatch(message);
  expect(existsSync(out)).toBe(false);
});
