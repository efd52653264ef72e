// Public data sets asked of every bundled model: what its tokenizer can say of them, how much it
// answers, and, where it can do a task, its key heads.
//
//   npx tsx bench/datasets.ts FOLDER [--count 200]
//
// FOLDER has the data sets' own files in any subfolders. A model can do a task if the 95 % interval
// of its accuracy lies above one half; nothing is claimed about heads elsewhere.
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import {
  type DatasetName,
  datasetItems,
  evaluate,
  identify,
  itemsFromRaw,
  KeyheadsError,
  Model,
  resolveModel,
} from "keyheads";
import { bundledModels } from "../packages/models/src/index.ts";

const files: Readonly<Record<DatasetName, string>> = {
  svamp: "SVAMP.json",
  addsub: "AddSub.json",
  singleeq: "SingleEq.json",
  multiarith: "MultiArith.json",
  gsm8k: "test.jsonl",
  ioi: "ioi_llama.csv",
  "greater-than": "greater_than_data.csv",
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { count: { type: "string", default: "200" } },
});
const [folder] = positionals;
if (folder === undefined) throw new Error("name the folder that has the data sets");
const found = readdirSync(folder, { recursive: true, encoding: "utf8" });

const rows = [];
for (const { name } of bundledModels) {
  using model = await Model.load(await resolveModel(name));
  for (const [dataset, file] of Object.entries(files) as [DatasetName, string][]) {
    const path = found.find(
      (one) => basename(one) === file && (file !== "test.jsonl" || /gsm8k/.test(one)),
    );
    if (path === undefined) {
      process.stderr.write(`${file} is not in ${folder}: ${dataset} is left out\n`);
      continue;
    }
    rows.push(await ask(model, dataset, join(folder, path)));
    process.stderr.write(`${JSON.stringify(rows.at(-1))}\n`);
  }
}
process.stdout.write(
  `${JSON.stringify({ benchmark: "datasets", count: Number(values.count), rows }, null, 1)}\n`,
);

async function ask(model: Model, dataset: DatasetName, file: string) {
  const row = { model: model.name, dataset };
  const { items, dropped } = await datasetItems(model, file, {
    dataset,
    count: Number(values.count),
  });
  const why = mostFrequent(dropped.map((one) => one.why.replace(/\d+|"[^"]*"|\([^)]*\)/g, "…")));
  if (items.length < 10) return { ...row, items: items.length, dropped: dropped.length, why };
  const set = itemsFromRaw(items, model.tokenizer, { ...model.spec, single: true, name: dataset });
  const { accuracy, ci } = await evaluate(model, set, {});
  const able = ci[0] > 0.5;
  const shared = { ...row, items: items.length, dropped: dropped.length, why, accuracy, ci, able };
  if (!able) return shared;
  try {
    const options = { onlyCorrect: true, counterfactual: "random-other", top: 3 } as const;
    const { keyHeads } = await identify(model, set, options);
    return { ...shared, keyHeads };
  } catch (error) {
    if (!(error instanceof KeyheadsError)) throw error;
    return { ...shared, why: error.message };
  }
}

function mostFrequent(reasons: readonly string[]): string | null {
  const counts = new Map<string, number>();
  for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
}
