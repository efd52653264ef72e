// Pretraining from the command line: a whole small run, killed and resumed, and configs that do not
// fit.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { failure, json, keyheads, scratch, start } from "./keyheads.ts";

const text = "packages/models/texts/tom-sawyer.txt";
const config = {
  card: "arith",
  seed: 7,
  model: { layers: 1, heads: 2, headWidth: 8, mlp: 16, context: 64 },
  tokenizer: { vocabulary: 1400, documents: 200 },
  texts: [{ file: join(process.cwd(), text), heldOutFrom: "It must have been almost the hour" }],
  mixture: { arithmetic: 0.6, numbers: 0.2, words: 0.2, text: 0 },
  operations: { add: 0.25, sub: 0.25, mul: 0.25, div: 0.25 },
  weights: { answer: 6, given: 0.3, plain: 1 },
  batch: { sequences: 4, length: 48, alone: 0.5 },
  optimizer: {
    lr: 0.003,
    warmup: 10,
    decayFrom: 0.5,
    betas: [0.9, 0.95],
    weightDecay: 0.1,
    clip: 1,
  },
  steps: 60,
  dtype: "f32",
  evaluateEvery: 60,
  checkpointEvery: 10,
};
const all = { ...config, texts: [{ ...config.texts[0], heldOutFrom: "all" }] };

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

test("a run that is killed and resumed gives the bits and the metrics of one that was not", async () => {
  const { file, folder } = written(all);
  const [whole, cut] = [join(folder, "whole"), join(folder, "cut")];
  const result = await json(["pretrain", file, "--out", whole, "--threads", "1"]);
  expect(result).toMatchObject({ steps: 60, parameters: 24240, out: whole });
  expect(result.loss).toHaveLength(60);

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
  expect(rows(`${whole}.pretraining`).at(-1)).toMatchObject({ step: 60, probe: {} });

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

describe.concurrent("refuses", () => {
  test.each([
    ["a field that it does not know", { ...all, colour: 1 }, /colour/],
    ["a field of a wrong type", { ...all, steps: "many" }, /steps/],
    ["shares that do not add to 1", { ...all, mixture: { ...all.mixture, text: 1 } }, /add to 2/],
    ["a card that does not exist", { ...all, card: "arithh" }, /"arithh"; there is arith/],
    ["a text without the line", config, /no line "It must have been almost the hour"/, 1],
    [
      "a text that is not there",
      { ...all, texts: [{ file: "no.txt", heldOutFrom: "all" }] },
      /cannot read the text .*no\.txt/,
      1,
    ],
    [
      "too small a vocabulary",
      { ...all, tokenizer: { ...all.tokenizer, vocabulary: 1000 } },
      /1248/,
    ],
    [
      "a batch that does not fit the context",
      { ...all, batch: { ...all.batch, length: 65 } },
      /batch\.length is 65/,
    ],
  ] as [string, object, RegExp, number?][])("%s", async (_, content, message, code = 2) => {
    const { file, folder } = written(content);
    const out = join(folder, "out");
    expect(await failure(["pretrain", file, "--out", out], code)).toMatch(message);
    expect(existsSync(out)).toBe(false);
  });

  test("a config that is not there", async () => {
    const out = join(scratch(), "out");
    expect(await failure(["pretrain", "no.json", "--out", out], 2)).toMatch(/no\.json/);
  });
});
