// Wall time from the command line to a stable top-10 of heads: `keyheads identify --top 10` in a process of
// its own, loading, intervals and all, on the bundled models and on a LLaMA-shaped model with random weights
// (12 layers, 12 heads, width 768, MLP 2,048, 32,000 tokens). Prints one JSON object.
//
//   npx tsx bench/time-to-heads.ts [--model mathgpt_add3_h4_l4,arith-demo,random] [--items 256] [--rounds 5]
//                                  [--dtype f32|bf16] [--models FOLDER]
//
// The same items in growing numbers, each set the beginning of the next: 16, 32 and so on up to --items. Stable
// is the smallest number from which on every larger one gives the same ten heads, whatever their order; null
// where only the largest does, which nothing confirms. That number (the largest where none is stable) is then
// timed `rounds` times. `shared` says how many of the ten every number has in common with the largest.
// Prompts of the random model share their last token, and so do their counterfactuals: with all tokens drawn,
// the effects of its heads would average out.
// --models keeps the random model in a folder for the next run. Needs `npm run setup`.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { rng } from "keyheads";
import { median } from "./peer.ts";
import { type Dtype, RandomModels, type Shape } from "./random-llama.ts";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "mathgpt_add3_h4_l4,arith-demo,random" },
    items: { type: "string", default: "256" },
    rounds: { type: "string", default: "5" },
    dtype: { type: "string", default: "f32" },
    models: { type: "string" },
  },
});
const most = Number(flags.items);
const dtype = flags.dtype as Dtype;
const large: Shape = { layers: 12, heads: 12, width: 768, mlp: 2048, vocab: 32_000 };
const program = fileURLToPath(new URL("../packages/keyheads/bin/keyheads.mjs", import.meta.url));
using models = new RandomModels(flags.models);
const folder = mkdtempSync(join(tmpdir(), "keyheads-items-"));
try {
  const results: object[] = [];
  for (const name of flags.model.split(",")) {
    results.push(await measure(name));
    console.error(JSON.stringify(results.at(-1)));
  }
  console.log(JSON.stringify({ dtype, rounds: Number(flags.rounds), results }, null, 1));
} finally {
  rmSync(folder, { recursive: true });
}

async function measure(name: string) {
  const random = name === "random";
  const model = random ? await models.write(`large-${dtype}`, large, dtype) : name;
  const lines = random ? randomLines() : bundledLines(model);
  const counts: number[] = [];
  for (let count = 16; count < lines.length; count *= 2) counts.push(count);
  counts.push(lines.length);
  const files = counts.map((count) => {
    const file = join(folder, `${name}-${count}.jsonl`);
    writeFileSync(file, `${lines.slice(0, count).join("\n")}\n`);
    return file;
  });
  const runs = files.map((file) => identify(model, file));
  const tops = runs.map(({ heads }) => new Set(heads));
  const final = tops.at(-1) as Set<string>;
  const shared = tops.map((top) => [...top].filter((head) => final.has(head)).length);
  const stable = 1 + shared.findLastIndex((count) => count < final.size);
  const confirmed = stable < counts.length - 1;
  const at = confirmed ? stable : counts.length - 1;
  const timed = Array.from({ length: Number(flags.rounds) }, () =>
    identify(model, files[at] as string),
  );
  const seconds = timed.map((run) => run.seconds);
  return {
    model: name,
    ...{ items: counts, shared, ofHeads: final.size },
    stableItems: confirmed ? counts[at] : null,
    timedItems: counts[at],
    seconds: median(seconds),
    range: [Math.min(...seconds), Math.max(...seconds)],
    peakBytes: Math.max(...timed.map((run) => run.peakBytes)),
  };
}

/** Ten heads, and what the process took from its start to its end. */
function identify(model: string, items: string) {
  const start = performance.now();
  const output = keyheads(
    ...["identify", model, "--items", items, "--top", "10", "--dtype", dtype, "--json"],
  );
  const seconds = (performance.now() - start) / 1000;
  const { keyHeads, peakBytes } = JSON.parse(output) as { keyHeads: string[]; peakBytes: number };
  return { heads: keyHeads, peakBytes, seconds };
}

function keyheads(...options: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...options], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  if (status !== 0)
    throw new Error(`keyheads ${options.join(" ")} ended with ${status}: ${stderr}`);
  return stdout;
}

function bundledLines(model: string): string[] {
  const file = join(folder, `${model}.jsonl`);
  keyheads("items", model, "--count", String(most), "--out", file);
  return readFileSync(file, "utf8").trimEnd().split("\n");
}

function randomLines(): string[] {
  const random = rng(1);
  const [last, other, answer, otherAnswer] = [11, 12, 13, 14];
  return Array.from({ length: most }, (_, i) => {
    const tokens = Array.from({ length: 11 }, () => random.int(large.vocab));
    return JSON.stringify({
      prompt_ids: [...tokens, last],
      answer_id: answer,
      counterfactual_ids: [...tokens, other],
      counterfactual_answer_id: otherAnswer,
      cluster: String(i),
    });
  });
}
