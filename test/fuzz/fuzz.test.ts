// Random cases from a seed on until the time is over: damaged folders, malformed requests, batch
// invariance of random models, and hooks. `npm run fuzz` runs them longer and watches for hangs and crashes:
// the number of each case is written to the log before the case begins.
import { mkdirSync, openSync, writeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import {
  expectGeneration,
  expectItemsIndependent,
  expectSweeps,
  expectWeightGradients,
  randomEdits,
} from "../engine/invariance.ts";
import { randomModel } from "../engine/random-models.ts";
import { damage, filesOf, runDamaged } from "./checkpoints.ts";
import { expectHooks } from "./hooks.ts";
import { runRequest } from "./requests.ts";

const seconds = Number(process.env.KEYHEADS_FUZZ_SECONDS ?? 3);
const first = Number(process.env.KEYHEADS_FUZZ_SEED ?? 0);

const folder = fileURLToPath(new URL("../../.cache/fuzz", import.meta.url));
mkdirSync(folder, { recursive: true });
const log = openSync(`${folder}/cases.log`, "w");
const say = (line: string) => writeSync(log, `${line}\n`);

const bases = ["llama-gqa", "gpt2", "planted"].map(filesOf);
let model: Model | undefined;
afterAll(() => model?.dispose());

type Run = (seed: number) => Promise<string>;

const folders: Run = async (seed) => {
  const { what, files } = damage(bases[seed % bases.length] as (typeof bases)[0], seed);
  return `${what}: ${await runDamaged(files)}`;
};

const requests: Run = async (seed) => {
  model ??= await randomModel("a norm for each head", "f32");
  return await runRequest(model, seed);
};

const invariance: Run = async (seed) => {
  using random = await randomModel(`fuzz ${seed}`, seed % 2 === 0 ? "f32" : "f64");
  await expectItemsIndependent(random, seed);
  await expectItemsIndependent(random, seed, randomEdits(random, rng(seed)));
  await expectWeightGradients(random, seed);
  await expectGeneration(random, seed);
  await expectSweeps(random, seed);
  return "held";
};

const hooked: Run = async (seed) => {
  using random = await randomModel(`fuzz ${seed}`, "f64");
  return await expectHooks(random, seed);
};

/** What one case may add to the process: none has files of a megabyte. */
const mostBytes = 256 * 2 ** 20;

async function until(end: number, name: string, run: Run): Promise<void> {
  const failures: string[] = [];
  const outcomes = new Map<string, number>();
  let largest = process.resourceUsage().maxRSS * 1024;
  for (let seed = first; seed === first || performance.now() < end; ++seed) {
    say(`${name} ${seed}`);
    try {
      const outcome = await run(seed);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    } catch (error) {
      failures.push(`seed ${seed}: ${(error as Error).stack}`);
    }
    const now = process.resourceUsage().maxRSS * 1024;
    if (now - largest > mostBytes) {
      failures.push(`seed ${seed}: took ${now - largest} bytes of memory`);
    }
    largest = Math.max(largest, now);
  }
  for (const [outcome, count] of [...outcomes].sort()) say(`  ${count} ${outcome}`);
  expect(failures).toEqual([]);
}

const share = (seconds * 1000) / 4;
const timeout = 60_000 + seconds * 1000;

it("refuses damaged folders with a code, or runs them", { timeout }, async () => {
  await until(performance.now() + share, "folders", folders);
});

it("answers or rejects malformed requests", { timeout }, async () => {
  await until(performance.now() + share, "requests", requests);
});

it("keeps the bits of an item in random models", { timeout }, async () => {
  await until(performance.now() + share, "invariance", invariance);
});

it("does with random hooks what they do plainly", { timeout }, async () => {
  await until(performance.now() + share, "hooks", hooked);
});
