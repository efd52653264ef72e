/** What `run` would do, for --dry-run: about what runExperiment asks of one question. */

import { choose } from "../statistics/combinations.ts";
import { buildTaskItems } from "../tasks/build-items.ts";
import type { Blueprint } from "./blueprint.ts";
import type { Cli } from "./cli.ts";
import { loadItems } from "./items.ts";
import { countByPart } from "./parameters.ts";
import { chainStep, forwardStep, type Step, trainingStep } from "./plan.ts";

const discover = 512;
const heads = 3;
const randomSets = 200;
const tuningRuns = 50;
const updates = 40;
const updateItems = 64;

interface PlannedRun {
  readonly items: string | undefined;
  readonly tasks: readonly string[] | undefined;
  readonly seed: number;
  readonly skipTuning: boolean;
}

export async function planRun(blueprint: Blueprint, run: PlannedRun, cli: Cli): Promise<Step[]> {
  const { spec, files } = blueprint;
  const lengths = await itemLengths(blueprint, run, cli);
  const questions = run.items === undefined ? (run.tasks?.length ?? 1) : 1;
  const senders = spec.layers * (spec.heads + 1);
  const subsets = [1, 2, 3].reduce((sum, k) => sum + choose(spec.layers * spec.heads, k), 0);
  const knockOuts = 2 * (heads * randomSets + (subsets <= 1000 ? subsets : 0));
  const steps = [
    forwardStep("plain runs", spec, lengths, { runs: 12 * questions }),
    chainStep("path patching", spec, 3 * questions * lengths.length),
    forwardStep("activation patching", spec, lengths, { runs: 2 * senders * questions }),
    forwardStep("knock-outs", spec, lengths.slice(0, 300), { runs: knockOuts * questions }),
  ];
  if (run.skipTuning) return steps;
  const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
  const training = {
    tokens: Math.round(mean * updateItems),
    updates: tuningRuns * updates,
    trained: countByPart(files, spec).total,
  };
  return [...steps, trainingStep(`tuning, ${tuningRuns} runs compared`, spec, training)];
}

async function itemLengths(blueprint: Blueprint, run: PlannedRun, cli: Cli): Promise<number[]> {
  if (run.items !== undefined) {
    const { items } = await loadItems(run.items, blueprint, cli, { single: true });
    return items.map(({ reference }) => reference.length);
  }
  const { tasks, seed } = run;
  const built = await buildTaskItems(blueprint, { count: discover, seed, ...(tasks && { tasks }) });
  const lines = built[0]?.items ?? [];
  return lines.map(
    ({ prompt, prompt_ids: ids }) =>
      ids?.length ?? blueprint.tokenizer?.encode(prompt ?? "").length ?? 0,
  );
}
