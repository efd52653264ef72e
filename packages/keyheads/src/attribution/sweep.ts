// The one place that builds the engine's sweep request: sets of heads and MLPs become arrays.
import type { Bank, SweepRequest, SweepResult } from "@keyheads/native";
import type { CallOptions, Model } from "../model.ts";
import type { Sequence } from "../packing.ts";
import type { Component } from "./component.ts";

export interface Sweep {
  readonly sequences: readonly Sequence[];
  /** Each variant replaces these heads and MLPs together. */
  readonly variants: readonly (readonly Component[])[];
  /** What they are replaced by; zero where absent. */
  readonly bank?: Bank;
  readonly freeze: SweepRequest["freeze"];
  readonly positions: SweepRequest["positions"];
  readonly readout: SweepRequest["readout"];
}

/** [variants, items, ...] read at the last token of every item, and the unedited run. */
export function runSweep(model: Model, sweep: Sweep, call: CallOptions): Promise<SweepResult> {
  const { sequences, variants, bank, freeze, positions, readout } = sweep;
  const edits = variants.flat();
  const starts = new Int32Array(variants.length + 1);
  variants.forEach((variant, v) => {
    starts[v + 1] = (starts[v] as number) + variant.length;
  });
  return model.sweep(
    {
      sequences,
      banks: bank ? [bank] : [],
      starts,
      layers: Int32Array.from(edits, (edit) => edit.layer),
      heads: Int32Array.from(edits, (edit) => edit.head),
      bank: new Int32Array(edits.length).fill(bank ? 0 : -1),
      freeze,
      positions,
      readout,
    },
    call,
  );
}
