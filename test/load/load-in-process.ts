// Loads a model, runs it until its weights are packed, and prints what that took of this process's
// memory: [folder, dtype].
import { readFileSync } from "node:fs";
import { engine } from "../../packages/keyheads/src/engine.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { fixture } from "./variants.ts";

function resident(field: string): number {
  const line = readFileSync("/proc/self/status", "utf8").match(`${field}:\\s+(\\d+) kB`);
  return 1024 * Number(line?.[1]);
}

async function use(model: Model): Promise<void> {
  const run = { sequences: [[1, 2, 3]], readout: { logits: "none", argmax: true } } as const;
  for (let i = 0; i < 2; ++i) await model.forward(run);
}

async function main([folder = "", dtype]: readonly string[]) {
  const options = { dtype: dtype === "bf16" ? "bf16" : "f32" } as const;
  // What the interpreter and the engine take once, and are never given back, comes first.
  {
    using small = await Model.load(fixture("llama"), options);
    await use(small);
  }
  const [peak, anonymous] = [resident("VmHWM"), resident("RssAnon")];
  using model = await Model.load(folder, options);
  await use(model);
  const taken = {
    weightBytes: engine().memory().weightBytes,
    peak: resident("VmHWM") - peak,
    anonymous: resident("RssAnon") - anonymous,
  };
  console.log(JSON.stringify(taken));
  return model.dtype;
}

await main(process.argv.slice(2));
