// Activation patching of every head and MLP at every position, counted back from END, so that prompts
// of different lengths line up at their ends.
import type { FloatArray } from "@keyheads/native";
import { hooks } from "../../hooks.ts";
import type { CallOptions, Model, SweepEdit } from "../../model.ts";
import type { Item, ItemSet } from "../../tasks/items.ts";
import { captureBank, type FullBank } from "../capture.ts";
import { chunkSize } from "../chunk-size.ts";
import { allHeads, allMlps, type Component, componentName } from "../component.ts";
import { naiveSweep } from "../naive-sweep.ts";
import type { SenderKind } from "../options.ts";
import type { Pair } from "../pairs.ts";
import { emptyReading, pairReadout, type Reading, readingOf, storeReading } from "../reading.ts";
import { longestOf, Question, type QuestionOptions, type UnitEffect } from "./question.ts";

export interface ByPositionOptions extends QuestionOptions {
  /** Both by default. */
  readonly senders?: readonly SenderKind[];
  /** One hooked forward pass a variant: slow, defines what is computed. */
  readonly naive?: boolean;
}

export interface ByPosition {
  readonly items: Question["counts"];
  readonly effect: string;
  readonly reference: number;
  readonly counterfactual: number;
  readonly totalEffect: number;
  /** Of every column below: distance from END, which is 0; negative before it. */
  readonly offsets: readonly number[];
  /** How many items have that position. */
  readonly itemsAt: readonly number[];
  /** [layer][head][column]; NaN where not asked for. */
  readonly heads: readonly (readonly (readonly number[])[])[];
  readonly headCI: readonly (readonly (readonly (readonly [number, number])[])[])[];
  /** [layer][column] */
  readonly mlps: readonly (readonly number[])[];
  readonly mlpCI: readonly (readonly (readonly [number, number])[])[];
  readonly validity: Question["validity"];
}

/**
 * Effect of replacing each head (and MLP) at one position by its value on X_c, everything downstream
 * recomputed. X_r and X_c must have the same length, else it throws BAD_ITEMS naming the item.
 *
 * @example
 * const { offsets, heads } = await activationByPosition(model, items);
 * heads[3][1][offsets.indexOf(-2)]; // head 3.1, two positions before END
 */
export async function activationByPosition(
  model: Model,
  items: ItemSet | readonly Item[],
  options: ByPositionOptions = {},
): Promise<ByPosition> {
  const { spec } = model;
  const kinds = options.senders ?? ["heads", "mlps"];
  const senders: Component[] = [
    ...(kinds.includes("heads") ? allHeads(spec) : []),
    ...(kinds.includes("mlps") ? allMlps(spec) : []),
  ];
  const question = await Question.ask(model, items, "all", options);
  const longest = longestOf(question.pairs);
  const offsets = Array.from({ length: longest }, (_, i) => i + 1 - longest);
  const readings = await patchEach(model, question, senders, offsets, options);
  const names = senders.flatMap((sender) => offsets.map(() => componentName(sender)));
  const units = question.summarise(names, readings);
  return {
    items: question.counts,
    effect: question.effect.name,
    ...question.totals(),
    offsets,
    itemsAt: offsets.map(
      (offset) => question.pairs.filter(({ reference }) => reference.length + offset > 0).length,
    ),
    ...tables(model, senders, units, offsets.length),
    validity: question.validity,
  };
}

/** Readings by sender, then by offset; NaN on items that are too short. */
async function patchEach(
  model: Model,
  { pairs, effect }: Question,
  senders: readonly Component[],
  offsets: readonly number[],
  { batch, naive = false, signal, onProgress }: ByPositionOptions,
): Promise<Reading[]> {
  const count = senders.length * offsets.length;
  const readings = Array.from({ length: count }, () => emptyReading(pairs.length));
  const size = batch ?? chunkSize(model, longestOf(pairs), "all", 3 * count);
  for (let start = 0; start < pairs.length; start += size) {
    const chunk = pairs.slice(start, start + size);
    const call: CallOptions = signal ? { signal } : {};
    const counterfactuals = chunk.map((pair) => pair.counterfactual);
    const { bank } = await captureBank(model, counterfactuals, "all", call);
    const variants = senders.flatMap((sender) =>
      offsets.map((offset) => editsAt(model, chunk, sender, offset, bank)),
    );
    const options = {
      sequences: chunk.map((pair) => pair.reference),
      variants,
      readout: pairReadout(chunk, effect.needsLogsumexp),
    };
    const how: CallOptions = {
      ...call,
      onProgress: (done, all) =>
        onProgress?.(
          Math.floor(((start + (chunk.length * done) / all) / pairs.length) * count),
          count,
        ),
    };
    const found = naive ? await naiveSweep(model, options, how) : await model.sweep(options, how);
    readings.forEach((reading, v) => {
      storeReading(reading, start, readingOf(found.variants, v, chunk.length), 0, chunk.length);
      const offset = offsets[v % offsets.length] as number;
      chunk.forEach((pair, i) => {
        if (pair.reference.length + offset <= 0) reading.answer[start + i] = Number.NaN;
      });
    });
  }
  return readings;
}

/** One edit for all items that have the position where their rows are equally far apart, else one each. */
function editsAt(
  model: Model,
  pairs: readonly Pair[],
  { layer, head }: Component,
  offset: number,
  bank: FullBank,
): SweepEdit[] {
  const { layers, heads, dHead, dModel } = model.spec;
  let end = 0;
  const rows = pairs.flatMap(({ reference }) => {
    end += reference.length;
    return reference.length + offset > 0 ? [end - 1 + offset] : [];
  });
  const width = head < 0 ? dModel : heads * dHead;
  const array: FloatArray = head < 0 ? bank.mlp : bank.z;
  const begin = layer * (array.length / layers) + Math.max(0, head) * dHead;
  const site = head < 0 ? { hook: hooks.mlp_out_raw(layer) } : { hook: hooks.z(layer), head };
  const set = (some: readonly number[], gap: number): SweepEdit => ({
    ...site,
    rows: Int32Array.from(some),
    op: "set",
    value: { array, offset: begin + (some[0] as number) * width, row: gap * width },
  });
  const gap = rows.length > 1 ? (rows[1] as number) - (rows[0] as number) : 0;
  const even = rows.every((row, i) => i === 0 || row - (rows[i - 1] as number) === gap);
  if (rows.length > 0 && even) return [set(rows, gap)];
  return rows.map((row) => set([row], 0));
}

function tables(
  { spec }: Model,
  senders: readonly Component[],
  units: readonly UnitEffect[],
  columns: number,
) {
  const absent = () => Array<number>(columns).fill(Number.NaN);
  const none = () => Array<readonly [number, number]>(columns).fill([Number.NaN, Number.NaN]);
  const each = <T>(make: () => T) => Array.from({ length: spec.layers }, make);
  const heads = each(() => Array.from({ length: spec.heads }, absent));
  const headCI = each(() => Array.from({ length: spec.heads }, none));
  const mlps = each(absent);
  const mlpCI = each(none);
  senders.forEach(({ layer, head }, s) => {
    const own = units.slice(s * columns, (s + 1) * columns);
    const means = own.map(({ effect }) => effect);
    const intervals = own.map(({ low, high }) => [low, high] as const);
    if (head < 0) {
      mlps[layer] = means;
      mlpCI[layer] = intervals;
    } else {
      (heads[layer] as number[][])[head] = means;
      (headCI[layer] as (readonly [number, number])[][])[head] = intervals;
    }
  });
  return { heads, headCI, mlps, mlpCI };
}
