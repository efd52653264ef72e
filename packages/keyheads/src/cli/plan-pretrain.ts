/** What a pretraining run would take, for --dry-run. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PretrainConfig } from "../pretraining/config.ts";
import { writeBlankModel } from "../pretraining/start-model.ts";
import { openBlueprint } from "./blueprint.ts";
import type { CommandOutput } from "./command.ts";
import { countByPart } from "./parameters.ts";
import { toPlan, trainingStep } from "./plan.ts";
import { dryRunOutput } from "./session.ts";
import { count } from "./table.ts";

export async function planPretraining(
  config: PretrainConfig,
  threads: number | undefined,
): Promise<CommandOutput> {
  const { batch, steps, dtype } = config;
  const perUpdate = batch.sequences * batch.length;
  const tokens = steps * perUpdate;
  // The engine plans for a folder: one without tokenizer, of zeros, for a moment.
  const folder = await mkdtemp(join(tmpdir(), "keyheads-plan-"));
  try {
    await writeBlankModel(folder, config);
    const blueprint = await openBlueprint(folder);
    const parameters = countByPart(blueprint.files, blueprint.spec).total;
    const training = trainingStep(`${count(steps)} updates`, blueprint.spec, {
      ...{ tokens: perUpdate, updates: steps, trained: parameters, sequence: batch.length },
    });
    const plan = await toPlan(blueprint, [training], { dtype, threads });
    const { text, ...output } = dryRunOutput({ parameters, tokens, dtype }, plan);
    const sizes = `${count(parameters)} parameters, ${count(tokens)} tokens\n`;
    return { ...output, text: () => `${sizes}${text()}` };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
