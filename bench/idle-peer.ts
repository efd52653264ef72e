// The process that idle.ts starts: a line with a model folder and sequences loads the model; every
// line is answered with the seconds of a forward pass.
import { createInterface } from "node:readline";
import { Model } from "keyheads";
import { sample } from "./sample.ts";

let run: (() => Promise<unknown>) | undefined;
for await (const line of createInterface(process.stdin)) {
  const { folder, sequences } = JSON.parse(line) as { folder?: string; sequences: number[][] };
  if (folder !== undefined) {
    const model = await Model.load(folder);
    run = () => model.forward({ sequences, readout: { logits: "none", argmax: true } });
    for (let i = 0; i < 3; ++i) await run();
  }
  console.log(JSON.stringify(await sample(run as () => Promise<unknown>)));
}
