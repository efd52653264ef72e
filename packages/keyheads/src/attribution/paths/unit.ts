// What can be sent along a path: a head, an MLP, one neuron of an MLP, or the embedding of one token.
import type { FloatArray } from "@keyheads/native";
import { KeyheadsError } from "../../errors.ts";
import { hooks } from "../../hooks.ts";
import type { CallOptions, Model, SiteOptions, SweepEdit } from "../../model.ts";
import { type Component, componentName } from "../component.ts";
import type { Pair } from "../pairs.ts";

/** One number of `mlp.hook_post`; mixtures of experts have none. */
export interface Neuron {
  readonly layer: number;
  readonly neuron: number;
}
/** The token embedding `back` positions before END, which is 0. */
export interface Embedding {
  readonly back: number;
}
export type Unit = Component | Neuron | Embedding;

/** Where units are replaced: END, everywhere, or at these positions of every prompt. */
export type At = "end" | "all" | readonly number[];

const isNeuron = (unit: Unit): unit is Neuron => "neuron" in unit;
const isEmbedding = (unit: Unit): unit is Embedding => "back" in unit;

/** `3.1`, `mlp 3`, `neuron 3.17`, `embed -2`: two positions before END. */
export function unitName(unit: Unit): string {
  if (isNeuron(unit)) return `neuron ${unit.layer}.${unit.neuron}`;
  return isEmbedding(unit) ? `embed -${unit.back}` : componentName(unit);
}

/** The first layer that a unit changes: heads change what their own layer writes. */
export function unitLayer(unit: Unit): number {
  return isEmbedding(unit) ? -1 : unit.layer;
}

/** What a unit's value is part of. */
function hookOf(unit: Unit): string {
  if (isNeuron(unit)) return hooks.mlp_post(unit.layer);
  if (isEmbedding(unit)) return hooks.embed();
  return unit.head < 0 ? hooks.mlp_out_raw(unit.layer) : hooks.z(unit.layer);
}

/** Throws BAD_ARGUMENT for a unit that the model does not have. */
export function checkUnits(units: readonly Unit[], { spec }: Model): void {
  for (const unit of units) {
    const { layers, heads, dMlp, experts } = spec;
    if (isEmbedding(unit)) continue;
    const [of, count] = isNeuron(unit) ? [unit.neuron, experts > 0 ? 0 : dMlp] : [unit.head, heads];
    const low = isNeuron(unit) ? 0 : -1;
    const inside = (value: number, from: number, to: number) =>
      Number.isInteger(value) && value >= from && value < to;
    if (inside(unit.layer, 0, layers) && inside(of, low, count)) continue;
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `${unitName(unit)} does not exist: this model has layers 0 to ${layers - 1} of ${heads} heads` +
        (experts > 0 ? " and mixtures of experts, which have no neurons" : ` and ${dMlp} neurons`),
    );
  }
}

/** The edits that replace units in runs of X_r by their values on X_c; none where an item lacks it. */
export class Replacement {
  readonly #model: Model;
  readonly #at: At;
  readonly #rows: readonly number[];
  readonly #lengths: readonly number[];
  readonly #values: ReadonlyMap<string, FloatArray>;

  private constructor(
    model: Model,
    at: At,
    lengths: readonly number[],
    values: ReadonlyMap<string, FloatArray>,
  ) {
    this.#model = model;
    this.#at = at;
    this.#lengths = lengths;
    this.#values = values;
    let row = 0;
    this.#rows = lengths.map((length) => {
      row += length;
      return row;
    });
  }

  /** Runs X_c of the pairs and keeps what the units need. */
  static async of(
    model: Model,
    pairs: readonly Pair[],
    units: readonly Unit[],
    at: At,
    call: CallOptions,
  ): Promise<Replacement> {
    const embeds = hooks.embed();
    const names = [...new Set(units.map(hookOf))];
    const { captures } = await model.forward({
      sequences: pairs.map((pair) => pair.counterfactual),
      captures: names.map((hook) => (hook === embeds ? { hook } : { hook, positions: at })),
      ...call,
    });
    const values = new Map(names.map((hook, i) => [hook, captures[i] as FloatArray]));
    const lengths = pairs.map((pair) => pair.reference.length);
    return new Replacement(model, at, lengths, values);
  }

  edits(unit: Unit): SweepEdit[] {
    const { heads, dHead, dModel, dMlp } = this.#model.spec;
    const hook = hookOf(unit);
    const array = this.#values.get(hook) as FloatArray;
    if (isEmbedding(unit)) return this.#embedding(unit, array);
    const at: SiteOptions = { hook, positions: this.#at };
    const set = (site: SiteOptions, offset: number, row: number): SweepEdit[] => [
      { ...site, op: "set", value: { array, offset, row } },
    ];
    if (isNeuron(unit)) return set({ ...at, columns: [unit.neuron] }, unit.neuron, dMlp);
    if (unit.head < 0) return set(at, 0, dModel);
    return set({ ...at, head: unit.head }, unit.head * dHead, heads * dHead);
  }

  /** One edit an item: the same place before END may be another position in each. */
  #embedding({ back }: Embedding, array: FloatArray): SweepEdit[] {
    const { dModel } = this.#model.spec;
    return this.#lengths.flatMap((length, item): SweepEdit[] => {
      if (back >= length) return [];
      const row = (this.#rows[item] as number) - 1 - back;
      const value = { array, offset: row * dModel, row: 0 };
      return [{ hook: hooks.embed(), rows: Int32Array.of(row), op: "set", value }];
    });
  }
}

/** Whether an item has what a unit replaces. */
export function hasUnit(unit: Unit, pair: Pair): boolean {
  return !isEmbedding(unit) || unit.back < pair.reference.length;
}

/** Every embedding of the longest prompt, END first. */
export function allEmbeddings(prompts: readonly Pick<Pair, "reference">[]): Embedding[] {
  const longest = prompts.reduce((most, { reference }) => Math.max(most, reference.length), 0);
  return Array.from({ length: longest }, (_, back) => ({ back }));
}

export function neuronsOf({ spec }: Model, layers: readonly number[]): Neuron[] {
  return layers.flatMap((layer) =>
    Array.from({ length: spec.dMlp }, (_, neuron) => ({ layer, neuron })),
  );
}
