/** Writes hand-built models with known circuits: Hugging Face folders with items and their truth. */
import { join } from "node:path";
import { KeyheadsError } from "../../errors.ts";
import {
  type GroundTruth,
  type GroundTruthOptions,
  groundTruthCases,
  writeGroundTruth,
} from "../../ground-truth/make.ts";
import { defineCommand, option } from "../command.ts";
import { force, optional, seed } from "../options.ts";
import { table } from "../table.ts";
import { integer, number, text } from "../values.ts";

export const command = defineCommand({
  name: "ground-truth",
  summary: "write hand-built models with known circuits, with items files",
  argument: { usage: "[case]", help: `${groundTruthCases.join(", ")} (default: all)` },
  examples: [
    "ground-truth --out truth",
    "ground-truth induction --layers 8 --noise 0.1 --out truth --force",
  ],
  options: {
    ...optional,
    out: option("--out <dir>", "a folder that gets one folder a case", text()),
    layers: option("--layers <n>", "layers (default: 4)", integer(1).optional()),
    heads: option("--heads <n>", "query heads of a layer (default: 4)", integer(2).optional()),
    kvHeads: option(
      "--kv-heads <n>",
      "key/value heads of a layer (default: as many)",
      integer(2).optional(),
    ),
    noise: option(
      "--noise <x>",
      "standard deviation of the noise in a matrix times the root of its columns (default: 0)",
      number({ min: 0 }).optional(),
    ),
    count: option("--count <n>", "items (default: 48)", integer(1).optional()),
    seed,
    force,
  },
  async run({ target, out, layers, heads, kvHeads, noise, count, seed, force }) {
    if (target !== "" && !groundTruthCases.includes(target)) {
      throw new KeyheadsError(
        "USAGE",
        `there is no case "${target}"; there are ${groundTruthCases.join(", ")}`,
      );
    }
    const options: GroundTruthOptions = {
      seed,
      ...(layers !== undefined && { layers }),
      ...(heads !== undefined && { heads }),
      ...(kvHeads !== undefined && { kvHeads }),
      ...(noise !== undefined && { noise }),
      ...(count !== undefined && { items: count }),
    };
    const models: (GroundTruth & { readonly folder: string })[] = [];
    for (const name of target === "" ? groundTruthCases : [target]) {
      const folder = join(out, name);
      models.push({ folder, ...(await writeGroundTruth(name, folder, { ...options, force })) });
    }
    return {
      data: { models },
      text: () =>
        table(
          ["folder", "heads", "MLPs"],
          models.map(({ folder, circuit }) => [
            folder,
            circuit.heads.map(({ head }) => head).join(","),
            circuit.mlps.map(({ mlp }) => mlp).join(","),
          ]),
        ),
    };
  },
});
