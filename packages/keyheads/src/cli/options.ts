/** Options that several commands share. */
import { option } from "./command.ts";
import { bytes, choice, flag, integer, list, text } from "./values.ts";

export const optional = {
  json: option("--json", "print one JSON object instead of text", flag().default(false)),
  config: option("--config <file>", "JSON file of options; flags win over it", text().optional()),
} as const;

/** Every command that computes with a model. */
export const modelOptions = {
  ...optional,
  device: option(
    "--device <name>",
    "cpu or cuda (default: cpu)",
    choice("cpu", "cuda").default("cpu"),
  ),
  tf32: option(
    "--tf32",
    "with --device cuda: products of floats may round to TF32, which is faster",
    flag().default(false),
  ),
  dtype: option(
    "--dtype <name>",
    "f32, bf16 or f64 (default: f32)",
    choice("f32", "bf16", "f64").default("f32"),
  ),
  threads: option(
    "--threads <n>",
    "compute threads (default: all allowed CPUs)",
    integer(1, 1024).optional(),
  ),
  memoryBudget: option(
    "--memory-budget <bytes>",
    "fail instead of using more, such as 8GiB",
    bytes().optional(),
  ),
  delta: option(
    "--delta <file>",
    "put a delta of `tune` over the model's weights",
    text().optional(),
  ),
  dryRun: option(
    "--dry-run",
    "print the memory and time plan and compute nothing",
    flag().default(false),
  ),
} as const;

export const seed = option(
  "--seed <n>",
  "seed of everything random (default: 0)",
  integer(0, 2 ** 32 - 1).default(0),
);
export const force = option("--force", "replace the output if it exists", flag().default(false));
export const outFile = option(
  "--out <file>",
  "also write the JSON to this file",
  text().optional(),
);

export const items = option("--items <file>", "items file (JSONL, docs/cli.md)", text());
export const strict = option(
  "--strict",
  "a bad line of an items file is fatal",
  flag().default(false),
);
export const onlyCorrect = option(
  "--only-correct",
  "use only items that the model answers correctly",
  flag().default(false),
);
export const split = option(
  "--split <name>",
  "only items of this split; an error where a cluster is in another split too",
  text().optional(),
);

/** How components are removed. */
export const ablation = option(
  "--ablation <name>",
  "mean, zero or resample (default: mean)",
  choice("mean", "zero", "resample").default("mean"),
);
export const positions = option(
  "--positions <where>",
  "end or all: where components are removed (default: all)",
  choice("end", "all").default("all"),
);
export const meanOver = option(
  "--mean-over <file>",
  "items over which means are taken (default: the items themselves)",
  text().optional(),
);
const defaultSets = 200;
export const draws = {
  random: option(
    "--random <n>",
    `random sets per size, all where there are no more (default: ${defaultSets}; 0: none)`,
    integer(0).default(defaultSets),
  ),
  layerMatched: option(
    "--layer-matched",
    "random heads come from the layers of those they stand for",
    flag().default(false),
  ),
} as const;

/** Which heads and MLPs: named, or taken from a result. */
export const components = {
  heads: option(
    "--heads <list>",
    "heads, such as 3.1,12.22",
    list("heads such as 3.1,12.22").optional(),
  ),
  mlps: option(
    "--mlps <list>",
    "layers of MLPs, such as 17,20",
    list("layers such as 17,20").optional(),
  ),
  from: option(
    "--from <file>",
    "take heads from the JSON of `identify` or `run`",
    text().optional(),
  ),
  top: option(
    "--top <k>",
    "with --from: its k most harmful heads (default: its key heads)",
    integer(1).optional(),
  ),
} as const;
