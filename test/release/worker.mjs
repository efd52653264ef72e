// The library in two worker threads at once and in the main thread.
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { Model } from "keyheads";
import { bundledModels, defaultModels } from "keyheads/models";

const { folder } = bundledModels.find(({ name }) => name === defaultModels[0]);
const model = await Model.load(folder);
const { logits } = await model.forward({ sequences: [[1, 2, 3, 4]], readout: { logits: "all" } });
model.dispose();
if (isMainThread) {
  const url = new URL(import.meta.url);
  const results = await Promise.all(
    [1, 2].map(
      () =>
        new Promise((resolve, reject) => {
          const worker = new Worker(url);
          worker.once("message", resolve);
          worker.once("error", reject);
        }),
    ),
  );
  const equal = results.every((other) => other.every((x, i) => x === logits[i]));
  console.log(JSON.stringify({ equal, numbers: logits.length }));
} else {
  parentPort.postMessage(logits);
}
