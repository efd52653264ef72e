// The process that idle.ts starts: for each line with a model folder and sequences, loads the model and
// answers with the seconds of a forward pass.
import { createInterface } from "node:readline";
import { Model } from "keyheads";
import { sample } from "./sample.ts";

for await (const line of createInterface(process.stdin)) {
  const { folder, sequences } = JSON.parse(line) as { folder: string; sequences: number[][] };
  using model = await Model.load(folder);
  const run = () => model.forward({ sequences, readout: { logits: "none", argmax: true } });
  for (let i = 0; i < 3; ++i) await run();
  console.log(JSON.stringify(await sample(run)));
}
