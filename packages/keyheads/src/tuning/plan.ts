// What a tuning run will train: method and selection turned into slices, before anything runs.
import type { Slice } from "@keyheads/native";
import { allHeads, type HeadRef } from "../attribution/component.ts";
import { KeyheadsError } from "../errors.ts";
import type { TuneResult } from "../results.ts";
import { layerMatchedDraws } from "./draws.ts";
import type { TuneOptions } from "./options.ts";
import { type Selection, selectSlices, sharedHeads } from "./selection.ts";
import { countParameters, type SlotOwner } from "./slots.ts";

export interface TuningPlan {
  readonly method: TuneResult["method"];
  readonly heads: readonly HeadRef[];
  readonly mlps: readonly number[];
  /** Unselected heads that change with a selected key/value group. */
  readonly sharedHeads: readonly HeadRef[];
  readonly slices: readonly Slice[];
  readonly trainedParameters: number;
}

/** Throws USAGE for a method that does not exist and for selections that do not fit the model. */
export function planTuning(
  model: SlotOwner,
  options: Pick<TuneOptions, "select" | "method" | "seed">,
): TuningPlan {
  const { select, seed = 0 } = options;
  const method = checkMethod(options.method ?? (select.everything ? "full" : "precise"));
  const { spec } = model;
  if (method === "full") {
    const slices = selectSlices(model, { everything: true });
    return {
      method,
      heads: allHeads(spec),
      mlps: Array.from({ length: spec.layers }, (_, layer) => layer),
      sharedHeads: [],
      slices,
      trainedParameters: countParameters(slices),
    };
  }
  // Checks the selection that random heads are drawn for.
  const named = selectSlices(model, select);
  const chosen: Selection =
    method === "random" ? { ...select, heads: randomHeads(model, select, seed) } : select;
  const slices = method === "random" ? selectSlices(model, chosen) : named;
  const { heads = [], mlps = [], keyValueGroups = false } = chosen;
  return {
    method,
    heads,
    mlps,
    sharedHeads: keyValueGroups ? sharedHeads(heads, spec) : [],
    slices,
    trainedParameters: countParameters(slices),
  };
}

function checkMethod(method: string): TuneResult["method"] {
  if (method === "precise" || method === "full" || method === "random") return method;
  throw new KeyheadsError(
    "USAGE",
    method === "lora"
      ? "method lora is not available in this version; use precise, random or full"
      : `method "${method}" does not exist; use precise, random or full`,
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
