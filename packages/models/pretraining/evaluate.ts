// The evaluation card of a model that `keyheads pretrain` trained: accuracy by operation and style on
// trained and held-out facts and on the withheld wording, the control tasks, the loss on held-out
// text, and the same of the untrained model.
//
//   npx tsx packages/models/pretraining/evaluate.ts CONFIG MODEL RUN [--count 1000]
//
// MODEL is the trained folder, RUN the run's folder (its start and its metrics). Writes evaluation.json,
// README.md and training.svg into MODEL.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Model } from "keyheads";
import { readPretrainConfig } from "../../keyheads/src/pretraining/config.ts";
import { evaluatePretrained } from "../../keyheads/src/pretraining/evaluate.ts";
import type { PretrainRow } from "../../keyheads/src/pretraining/pretrain.ts";
import { readMetrics } from "../../keyheads/src/tuning/metrics.ts";
import { cardText } from "./card-text.ts";
import { trainingCurve } from "./curve.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { count: { type: "string", default: "1000" } },
});
const [configFile, folder, run] = positionals;
if (configFile === undefined || folder === undefined || run === undefined) {
  throw new Error("usage: evaluate.ts CONFIG MODEL RUN [--count 1000]");
}
const config = await readPretrainConfig(configFile);

async function measure(path: string) {
  using model = await Model.load(path);
  const evaluation = await evaluatePretrained(model, config, { count: Number(values.count) });
  return { parameters: model.parameterCount, ...evaluation };
}

const evaluation = {
  trained: await measure(folder),
  untrained: await measure(join(run, "start")),
};
const rows = (await readMetrics(run)) as readonly PretrainRow[];
const write = (name: string, content: string) => writeFileSync(join(folder, name), content);
write("evaluation.json", `${JSON.stringify(evaluation, null, 1)}\n`);
write("training.svg", trainingCurve(rows));
write("README.md", cardText(config, rows, evaluation));
