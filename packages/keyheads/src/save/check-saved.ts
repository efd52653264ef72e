// Opens a saved folder again and compares: the logits of probe prompts with those of the model in
// memory, and the stored weights outside the trained slices with the source's, bit for bit.
import type { Slice } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { Model } from "../model.ts";
import type { Sequence } from "../packing.ts";
import type { IsolationReport } from "../results.ts";
import { changedPieces, compareHashes, hashFiles } from "./isolation.ts";
import { openFolder } from "./stored.ts";

export interface SavedCheck {
  /** Largest difference of a logit; 0 unless the file's dtype is narrower than the engine's. */
  readonly maxAbs: number;
  readonly logits: number;
  readonly isolation: IsolationReport;
}

/**
 * Throws VERIFICATION_FAILED if an unselected weight of the files changed, or if logits differ where
 * the files hold the engine's own dtype or a wider one.
 */
export async function checkSaved(
  model: Model,
  folder: string,
  options: { readonly slices: readonly Slice[]; readonly probes: readonly Sequence[] },
): Promise<SavedCheck> {
  const { probes } = options;
  const slices = [...model.delta.slices, ...options.slices];
  const before = await hashFiles(model.files, model.spec, slices);
  const { files, spec } = await openFolder(folder);
  const after = await hashFiles(files, spec, slices);
  const strays = changedPieces(before, after).filter(({ selected }) => !selected);
  if (strays.length > 0) {
    const names = strays.slice(0, 5).map(({ name }) => name);
    throw new KeyheadsError(
      "VERIFICATION_FAILED",
      `${folder}: weights changed that were not selected: ${names.join(", ")}`,
    );
  }
  using saved = await Model.load(folder, { dtype: model.dtype, allowUnknownConfig: true });
  const expected = await allLogits(model, probes);
  const found = await allLogits(saved, probes);
  let maxAbs = 0;
  found.forEach((logit, i) => {
    const difference = Math.abs(logit - (expected[i] as number));
    if (!(difference <= maxAbs)) maxAbs = difference;
  });
  const narrow = model.dtype === "f64" ? ["F32", "F16", "BF16"] : ["F16", "BF16"];
  const rounded = files.slots.some(({ dtype }) => narrow.includes(dtype));
  if (maxAbs !== 0 && !rounded) {
    throw new KeyheadsError(
      "VERIFICATION_FAILED",
      `${folder}: the saved model's logits differ from the tuned one's by up to ${maxAbs}`,
    );
  }
  return { maxAbs, logits: found.length, isolation: compareHashes(before, after) };
}

async function allLogits(model: Model, sequences: readonly Sequence[]) {
  const { logits } = await model.forward({ sequences, readout: { rows: "all", logits: "all" } });
  if (logits === undefined) throw new KeyheadsError("INTERNAL", "forward gave no logits");
  return logits;
}
