// z of every head and every MLP's output of plain runs, laid out as the engine's sweep takes them.
import type { FloatArray } from "@keyheads/native";
import { concatenate } from "../float-arrays.ts";
import { hooks } from "../hooks.ts";
import type { CallOptions, Model, ReadoutOptions } from "../model.ts";
import type { Sequence } from "../packing.ts";
import type { Positions } from "./options.ts";

/** Both kinds of sender, a row being the END of an item, or a token. */
export interface FullBank {
  /** [layers, rows, heads * dHead] */
  readonly z: FloatArray;
  /** [layers, rows, dModel]; the module's output, before any post-norm */
  readonly mlp: FloatArray;
  readonly rows: number;
}

export async function captureBank(
  model: Model,
  sequences: readonly Sequence[],
  positions: Positions,
  call: CallOptions,
  readout?: ReadoutOptions,
) {
  const { layers } = model.spec;
  const each = Array.from({ length: layers }, (_, layer) => layer);
  const output = await model.forward({
    sequences,
    captures: [
      ...each.map((layer) => ({ hook: hooks.z(layer), positions })),
      ...each.map((layer) => ({ hook: hooks.mlp_out_raw(layer), positions })),
    ],
    ...(readout && { readout }),
    ...call,
  });
  const z = concatenate(output.captures.slice(0, layers));
  const mlp = concatenate(output.captures.slice(layers));
  const bank: FullBank = { z, mlp, rows: mlp.length / (layers * model.spec.dModel) };
  return { ...output, bank };
}
