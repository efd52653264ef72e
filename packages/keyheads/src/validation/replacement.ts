// What removed components are replaced by: nothing (zero), the mean over a named set of prompts,
// their values on another prompt of it (resample), or on the item's own counterfactual.
import type { FloatArray, ModelDtype } from "@keyheads/native";
import { captureBank, type FullBank } from "../attribution/capture.ts";
import type { Bank } from "../attribution/sweep.ts";
import { KeyheadsError } from "../errors.ts";
import type { CallOptions, Model } from "../model.ts";
import { groupBy } from "../statistics/group-by.ts";
import { rng } from "../statistics/rng.ts";
import { chooseAlignment, promptKey, rowKey, rowsOf } from "./align.ts";
import type { Case } from "./cases.ts";
import type { Ablation, Alignment } from "./options.ts";

export interface ReplacementOptions {
  readonly ablation: Ablation;
  readonly positions: "end" | "all";
  readonly align: Alignment | undefined;
  readonly seed: number;
  readonly batch: number;
}
export interface Replacement {
  /** Values for a chunk of cases, given by index; absent is zero. */
  readonly bank: (cases: readonly number[], call: CallOptions) => Promise<Bank | undefined>;
  readonly description: string;
}

export async function prepareReplacement(
  model: Model,
  cases: readonly Case[],
  over: readonly Case[],
  options: ReplacementOptions,
  call: CallOptions,
): Promise<Replacement> {
  switch (options.ablation) {
    case "zero":
      return { bank: async () => undefined, description: "zero" };
    case "mean":
      return await meanReplacement(model, cases, over, options, call);
    case "resample":
      return resampleReplacement(model, cases, over, options);
    case "counterfactual":
      return counterfactualReplacement(model, cases, options);
  }
}

async function meanReplacement(
  model: Model,
  cases: readonly Case[],
  over: readonly Case[],
  { positions, align: asked, batch }: ReplacementOptions,
  call: CallOptions,
): Promise<Replacement> {
  const keysOf = (one: Case, align: Alignment) =>
    rowsOf(one, positions).map((p) => rowKey(one, p, positions, align));
  const { align, description } = chooseAlignment(cases, over, asked, keysOf);
  const wanted = new Set(cases.flatMap((one) => keysOf(one, align)));
  const { layers } = model.spec;
  const means = new Map<string, { count: number; z: Float64Array; mlp: Float64Array }>();
  for (let start = 0; start < over.length; start += batch) {
    const chunk = over.slice(start, start + batch);
    const sequences = chunk.map((one) => one.sequence);
    const { bank } = await captureBank(model, sequences, positions, call);
    const keys = chunk.flatMap((one) => keysOf(one, align));
    for (const [row, key] of keys.entries()) {
      if (!wanted.has(key)) continue;
      const size = (values: FloatArray) => values.length / bank.rows;
      const known = means.get(key) ?? {
        count: 0,
        z: new Float64Array(size(bank.z)),
        mlp: new Float64Array(size(bank.mlp)),
      };
      known.count += 1;
      addRow(known.z, bank.z, row, bank.rows, layers);
      addRow(known.mlp, bank.mlp, row, bank.rows, layers);
      means.set(key, known);
    }
  }
  for (const { count, z, mlp } of means.values()) {
    divide(z, count);
    divide(mlp, count);
  }
  return {
    description,
    bank: async (indices) => {
      const rows = indices.flatMap((i) => keysOf(cases[i] as Case, align));
      const values = rows.map((key) => means.get(key) as { z: Float64Array; mlp: Float64Array });
      return {
        z: stack(
          values.map((value) => value.z),
          layers,
          model.dtype,
        ),
        mlp: stack(
          values.map((value) => value.mlp),
          layers,
          model.dtype,
        ),
      };
    },
  };
}

function resampleReplacement(
  model: Model,
  cases: readonly Case[],
  over: readonly Case[],
  { positions, align: asked, seed }: ReplacementOptions,
): Replacement {
  const key = (one: Case, align: Alignment) => promptKey(one, positions, align);
  const { align, description } = chooseAlignment(cases, over, asked, (one, level) => [
    key(one, level),
  ]);
  const pools = groupBy(over, (one) => key(one, align));
  const random = rng(seed);
  const partners = cases.map((one) => {
    const pool = pools.get(key(one, align)) as Case[];
    const same = (other: Case) => other.sequence.join() === one.sequence.join();
    // Another prompt where there is one: a few draws almost always find it.
    let partner = pool[random.int(pool.length)] as Case;
    for (let i = 0; i < 20 && same(partner); ++i) partner = pool[random.int(pool.length)] as Case;
    return partner.sequence;
  });
  return {
    description: `another of ${description}`,
    bank: async (indices, call): Promise<FullBank> => {
      const sequences = indices.map((i) => partners[i] as readonly number[]);
      return (await captureBank(model, sequences, positions, call)).bank;
    },
  };
}

function counterfactualReplacement(
  model: Model,
  cases: readonly Case[],
  { positions }: ReplacementOptions,
): Replacement {
  const sequences = ownCounterfactuals(cases, positions);
  return {
    description: "each prompt's own counterfactual",
    bank: async (indices, call) => {
      const chosen = indices.map((i) => sequences[i] as readonly number[]);
      return (await captureBank(model, chosen, positions, call)).bank;
    },
  };
}

/** X_c of every case. Throws BAD_ITEMS where there is none, or none that can be put in place. */
export function ownCounterfactuals(
  cases: readonly Case[],
  positions: ReplacementOptions["positions"],
  remedy = 'use positions "end" or another ablation',
): (readonly number[])[] {
  return cases.map(({ counterfactual, sequence, name }) => {
    const length = counterfactual?.length;
    if (counterfactual && (positions === "end" || length === sequence.length)) {
      return counterfactual;
    }
    const why = counterfactual
      ? `its counterfactual has ${length} tokens instead of ${sequence.length}; ${remedy}`
      : "it has no counterfactual for this answer token; write one, or use another ablation";
    throw new KeyheadsError("BAD_ITEMS", `${name}: ${why}`);
  });
}

/** Adds one row of [layers, rows, width] to a sum of [layers, width]. */
function addRow(sum: Float64Array, values: FloatArray, row: number, rows: number, layers: number) {
  const width = sum.length / layers;
  for (let layer = 0; layer < layers; ++layer) {
    const from = (layer * rows + row) * width;
    for (let i = 0; i < width; ++i) {
      sum[layer * width + i] = (sum[layer * width + i] as number) + (values[from + i] as number);
    }
  }
}

function divide(values: Float64Array, by: number) {
  values.forEach((value, i) => {
    values[i] = value / by;
  });
}

/** Rows of [layers, width] as one [layers, rows, width]. */
function stack(rows: readonly Float64Array[], layers: number, dtype: ModelDtype): FloatArray {
  const width = (rows[0] as Float64Array).length / layers;
  const length = layers * rows.length * width;
  const all = dtype === "f64" ? new Float64Array(length) : new Float32Array(length);
  rows.forEach((row, r) => {
    for (let layer = 0; layer < layers; ++layer) {
      all.set(row.subarray(layer * width, (layer + 1) * width), (layer * rows.length + r) * width);
    }
  });
  return all;
}
