// Sweeps over sets of heads and MLPs, as attribution and validation ask for them.
import type { FloatArray, SweepRequest, SweepResult } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { hooks } from "../hooks.ts";
import type { CallOptions, Model, SweepEdit } from "../model.ts";
import type { Sequence } from "../packing.ts";
import { type Component, componentName } from "./component.ts";
import { naiveSweep } from "./naive-sweep.ts";
import type { Positions } from "./options.ts";

/** Values of components, laid out by layer; a row is the END of an item, or a token. */
export interface Bank {
  /** [layers, rows, heads * dHead] */
  readonly z?: FloatArray;
  /** [layers, rows, dModel]; the module's output, before any post-norm */
  readonly mlp?: FloatArray;
}

export interface Sweep {
  readonly sequences: readonly Sequence[];
  /** Each variant replaces these heads and MLPs together. */
  readonly variants: readonly (readonly Component[])[];
  /** What they are replaced by; zero where absent. */
  readonly bank?: Bank;
  readonly freeze: SweepRequest["freeze"];
  /** Where they are replaced. */
  readonly positions: Positions;
  readonly readout: SweepRequest["readout"];
}

/**
 * [variants, items, ...] read at the last token of every item, and the unedited run. `naive`: by one
 * complete forward pass a variant, which defines what the engine's sweep gives.
 */
export function runSweep(
  model: Model,
  sweep: Sweep,
  call: CallOptions,
  naive = false,
): Promise<SweepResult> {
  const { sequences, variants, freeze, readout } = sweep;
  const edits = new ComponentEdits(model, sweep);
  const options = {
    ...{ sequences, freeze, readout },
    variants: variants.map((set) => set.map((c) => edits.of(c))),
  };
  return naive ? naiveSweep(model, options, call) : model.sweep(options, call);
}

/** One edit a component, however many variants it is part of. */
class ComponentEdits {
  readonly #model: Model;
  readonly #bank: Bank | undefined;
  readonly #positions: Positions;
  readonly #edits = new Map<string, SweepEdit>();

  constructor(model: Model, { bank, positions }: Sweep) {
    this.#model = model;
    this.#bank = bank;
    this.#positions = positions;
  }

  of(component: Component): SweepEdit {
    const key = componentName(component);
    const known = this.#edits.get(key);
    if (known) return known;
    const edit = this.#edit(component);
    this.#edits.set(key, edit);
    return edit;
  }

  #edit({ layer, head }: Component): SweepEdit {
    const { layers, heads, dHead, dModel } = this.#model.spec;
    const positions = this.#positions;
    const site =
      head < 0
        ? { hook: hooks.mlp_out_raw(layer), positions }
        : { hook: hooks.z(layer), head, positions };
    const array = head < 0 ? this.#bank?.mlp : this.#bank?.z;
    if (!this.#bank) return { ...site, op: "zero" };
    if (!array) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `the bank has no values for ${componentName({ layer, head })}: it needs ${head < 0 ? "mlp" : "z"}`,
      );
    }
    const row = head < 0 ? dModel : heads * dHead;
    const offset = layer * (array.length / layers) + Math.max(0, head) * dHead;
    return { ...site, op: "set", value: { array, offset, row } };
  }
}
