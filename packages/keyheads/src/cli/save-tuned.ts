/** Everything that `tune` leaves: the whole model, the delta, the adapter for PEFT. */
import { join } from "node:path";
import { KeyheadsError } from "../errors.ts";
import { slotKey } from "../load/slots.ts";
import type { Model } from "../model.ts";
import type { TuneResult } from "../results.ts";
import { checkSaved } from "../save/check-saved.ts";
import { saveDelta } from "../save/delta.ts";
import type { PieceChange } from "../save/isolation.ts";
import { mergeAdded } from "../save/merge.ts";
import { savePeft } from "../save/peft.ts";
import { saveModel } from "../save/save-model.ts";
import type { Item } from "../tasks/items.ts";
import { metricsFiles } from "../tuning/metrics.ts";
import type { TuningPlan } from "../tuning/plan.ts";
import { refuseExisting } from "./output-file.ts";

/** Prompts of which the saved folder must give the same logits. */
const probeItems = 4;

export interface Targets {
  readonly out: string | undefined;
  readonly saveDelta: string | undefined;
  readonly method: TuneResult["method"];
  readonly force: boolean;
}

/** Throws OUTPUT_EXISTS, and USAGE where nothing would be kept. Gives the folder for checkpoints. */
export function checkTargets({ out, saveDelta: delta, method, force }: Targets): string {
  const first = out ?? delta;
  if (first === undefined) throw new KeyheadsError("USAGE", "--out <folder> is required");
  for (const path of [out, delta]) {
    if (path !== undefined) refuseExisting(path, force);
  }
  if (out !== undefined && method === "lora") refuseExisting(adapterFolder(out), force);
  return `${first}.tuning`;
}

/** Throws USAGE for what a folder could not hold, before anything is trained. */
export function checkHolds({ files, architecture, delta }: Model, { out, method }: Targets): void {
  if ((delta.addedSlices ?? []).length > 0) {
    throw new KeyheadsError(
      "USAGE",
      "the delta that the model is loaded with has added weights; bake them in first (keyheads merge)",
    );
  }
  const biased = files.slots.some((source) => slotKey(source) === "bo.0");
  if (method !== "offsets" || out === undefined || biased) return;
  throw new KeyheadsError(
    "USAGE",
    `${architecture} models have no bias of the attention's output to hold offsets of heads; give --save-delta FILE instead of --out`,
  );
}

export interface Tuned {
  readonly plan: TuningPlan;
  readonly result: TuneResult;
  readonly pieces: readonly PieceChange[];
  readonly items: readonly Item[];
  /** Where the metrics are. */
  readonly folder: string;
}

/** Saves; gives what of it belongs in the result. */
export async function saveTuned(
  model: Model,
  { plan, result, pieces, items, folder }: Tuned,
  targets: Targets,
) {
  const { added, slices: addedSlices } = plan.added;
  if (targets.saveDelta !== undefined) {
    await saveDelta(model, targets.saveDelta, { slices: plan.slices, added, addedSlices });
  }
  const { out, force, saveDelta: delta } = targets;
  const kept = { ...(delta !== undefined && { delta }) };
  if (out === undefined) return kept;
  // PEFT has no place for single experts.
  const forPeft =
    added.some((one) => "rank" in one) && !added.some((one) => one.expert !== undefined);
  if (forPeft) await savePeft(model, adapterFolder(out), added, { force });
  const slices = [...plan.slices, ...(await mergeAdded(model, added))];
  const { loss: _, ...summary } = result;
  const saved = await saveModel(model, out, {
    slices,
    force,
    manifest: { ...summary, slices: pieces },
    files: Object.values(metricsFiles).map((name) => join(folder, name)),
  });
  const probes = items.slice(0, probeItems).map(({ promptIds }) => promptIds);
  const { maxAbs } = await checkSaved(model, saved.folder, { slices, probes });
  return {
    ...kept,
    out,
    ...(forPeft && { adapter: adapterFolder(out) }),
    saved: { probes: probes.length, maxAbs },
  };
}

/** Beside the model: inside it, transformers would load the adapter on top of the merged weights. */
function adapterFolder(out: string): string {
  return `${out.replace(/\/+$/, "")}-adapter`;
}
