// What a tuning run will train: method and selection turned into slices, before anything runs.
import type { AddedSlice, Slice } from "@keyheads/native";
import { allHeads, type HeadRef } from "../attribution/component.ts";
import { KeyheadsError } from "../errors.ts";
import type { TuneResult } from "../results.ts";
import { type AddedPlan, defaultModules, modulesOf, planLora, planOffsets } from "./added.ts";
import { layerMatchedDraws } from "./draws.ts";
import type { TuneOptions } from "./options.ts";
import { resolveSelection, type Selection, selectSlices, sharedHeads } from "./selection.ts";
import { countParameters, type SlotOwner } from "./slots.ts";

export interface TuningPlan {
  readonly method: TuneResult["method"];
  readonly heads: readonly HeadRef[];
  readonly mlps: readonly number[];
  /** Unselected heads that change with a selected key/value group. */
  readonly sharedHeads: readonly HeadRef[];
  /** The model's own weights that change. */
  readonly slices: readonly Slice[];
  /** Weights that are added to it, and the parts of them that are trained: LoRA, offsets. */
  readonly added: AddedPlan;
  readonly trainedParameters: number;
}

export const tuningMethods = ["precise", "full", "random", "lora", "offsets"] as const;
const nothingAdded: AddedPlan = { added: [], slices: [] };

/** Everything that has a gradient. */
export function trainedSlices({ slices, added }: TuningPlan): (Slice | AddedSlice)[] {
  return [...slices, ...added.slices];
}

/** Throws USAGE for a method that does not exist and for selections that do not fit the model. */
export function planTuning(
  model: SlotOwner,
  options: Pick<TuneOptions, "select" | "method" | "seed" | "lora">,
): TuningPlan {
  const { seed = 0 } = options;
  const { spec } = model;
  const given = typeof options.select === "function" ? options.select(spec) : options.select;
  const method = checkMethod(options.method ?? (given.everything ? "full" : "precise"));
  if (method === "full") {
    const mlps = Array.from({ length: spec.layers }, (_, layer) => layer);
    const slices = selectSlices(model, { everything: true });
    return finish({ method, heads: allHeads(spec), mlps, sharedHeads: [], slices });
  }
  const chosen = chooseSelection(model, method, given, seed);
  const slices = selectSlices(model, chosen);
  const { heads = [], mlps = [], keyValueGroups = false } = chosen;
  const shared = keyValueGroups ? sharedHeads(heads, spec) : [];
  if (method === "lora") {
    const added = planLora(model, slices, options.lora ?? {});
    return finish({ method, heads, mlps, sharedHeads: shared, slices: [], added });
  }
  if (method === "offsets") {
    const added = planOffsets(heads, spec.dHead);
    return finish({ method, heads, mlps: [], sharedHeads: [], slices: [], added });
  }
  return finish({ method, heads, mlps, sharedHeads: shared, slices });
}

function finish(
  plan: Omit<TuningPlan, "added" | "trainedParameters"> & { readonly added?: AddedPlan },
): TuningPlan {
  const { added = nothingAdded, ...rest } = plan;
  return { ...rest, added, trainedParameters: countParameters([...plan.slices, ...added.slices]) };
}

/** With layers as heads and MLPs, heads drawn, and what a method takes where nothing is named. */
function chooseSelection(
  model: SlotOwner,
  method: TuneResult["method"],
  given: Selection,
  seed: number,
): Selection {
  if (method === "lora" && (given.everything || isEmpty(given))) {
    return { matrices: modulesOf(model, defaultModules) };
  }
  const select = resolveSelection(model.spec, given);
  if (method !== "random") return select;
  selectSlices(model, given); // checks what random heads are drawn for
  return { ...select, heads: randomHeads(model, select, seed) };
}

function isEmpty(given: Selection) {
  const { heads = [], mlps = [], layers = [], matrices = [], neurons = [], randomHeads } = given;
  const named = [heads, mlps, layers, matrices, neurons];
  return named.every((one) => one.length === 0) && !randomHeads;
}

function checkMethod(method: string): TuneResult["method"] {
  const found = tuningMethods.find((one) => one === method);
  if (found) return found;
  throw new KeyheadsError(
    "USAGE",
    `method "${method}" does not exist; use ${tuningMethods.join(", ")}`,
  );
}

function randomHeads(model: SlotOwner, { heads = [] }: Selection, seed: number) {
  if (heads.length === 0) {
    throw new KeyheadsError("USAGE", "method random draws heads: name the heads it stands for");
  }
  const draws = layerMatchedDraws(heads, model.spec, { count: 1, seed });
  if (draws[0] !== undefined) return draws[0];
  throw new KeyheadsError(
    "USAGE",
    "there are no other heads in the layers of the selection: it holds all of them",
  );
}
