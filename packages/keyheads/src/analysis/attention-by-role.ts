// Where END looks: the share of each head's attention that goes to every role of the prompt, beside
// what the heads of its layer give that role on average, and weighted by what the values do.
import { performance } from "node:perf_hooks";
import type { FloatArray } from "@keyheads/native";
import {
  allHeads,
  checkComponents,
  componentName,
  type HeadRef,
} from "../attribution/component.ts";
import { clusterOf, droppedOf, itemsOf } from "../attribution/pairs.ts";
import { meanPresent } from "../attribution/summary.ts";
import { KeyheadsError } from "../errors.ts";
import { hooks } from "../hooks.ts";
import type { CallOptions, Model } from "../model.ts";
import type { AttendResult, RoleShare } from "../results.ts";
import { clusterDraws, numberClusters, ratioOfMeans } from "../statistics/bootstrap.ts";
import type { Item, ItemSet } from "../tasks/items.ts";
import { headType } from "./head-type.ts";
import { type RoleTokens, rolesOfItem } from "./token-roles.ts";
import { outputGram, outputNorm } from "./value-norm.ts";

export interface AttendOptions extends CallOptions {
  /** Default: every head of the model. */
  readonly heads?: readonly HeadRef[];
  /** Bootstrap draws of the intervals; 1000. */
  readonly draws?: number;
  readonly seed?: number;
  /** Items per native call; 256. */
  readonly batch?: number;
}

/** Attention of END by role, one entry an item: NaN where the item does not have the role. */
type ByRole = Map<string, Float64Array>;

/**
 * Attention of END to each role of the prompt.
 *
 * @example
 * const { heads } = await attentionByRole(model, items, { heads: parseHeads("3.1") });
 * console.log(heads[0]?.roles["operand1"]?.mean, heads[0]?.type);
 */
export async function attentionByRole(
  model: Model,
  items: ItemSet | readonly Item[],
  options: AttendOptions = {},
): Promise<AttendResult> {
  const started = performance.now();
  const list = itemsOf(items);
  if (list.length === 0) throw new KeyheadsError("BAD_ITEMS", "there are no items to look at");
  const { heads = allHeads(model.spec), batch = 256, seed = 0 } = options;
  checkComponents(heads, model.spec);
  const bosId = model.tokenizer?.encode("")[0];
  const roles = list.map((item) => rolesOfItem(item, bosId));
  const layers = [...new Set(heads.map(({ layer }) => layer))].sort((a, b) => a - b);
  const grams = await readGrams(model, heads, options);

  const names = [...new Set(roles.flatMap((tokens) => tokens.map(({ role }) => role)))];
  const empty = (): ByRole =>
    new Map(names.map((name) => [name, new Float64Array(list.length).fill(Number.NaN)]));
  const plain = heads.map(empty);
  const weighted = heads.map(empty);
  const average = new Map(layers.map((layer) => [layer, empty()]));

  for (let start = 0; start < list.length; start += batch) {
    const chunk = list.slice(start, start + batch);
    const runs = await captureAttention(model, chunk, layers, options);
    for (const [i] of chunk.entries()) {
      const at = start + i;
      const tokens = roles[at] as RoleTokens[];
      heads.forEach(({ layer, head }, h) => {
        const row = runs.pattern(layer, i, head);
        addShares(plain[h] as ByRole, tokens, at, row);
        const norms = row.map(
          (weight, p) =>
            weight * outputNorm(grams[h] as Float64Array, ...runs.value(layer, i, p, head)),
        );
        const whole = norms.reduce((a, b) => a + b, 0);
        const shares = whole > 0 ? norms.map((norm) => norm / whole) : norms;
        addShares(weighted[h] as ByRole, tokens, at, shares);
      });
      for (const layer of layers) {
        addShares(average.get(layer) as ByRole, tokens, at, runs.layerMean(layer, i));
      }
    }
    options.onProgress?.(start + chunk.length, list.length);
  }

  const clusters = numberClusters(list.map(clusterOf));
  const draws = clusterDraws(clusters.count, { ...options, seed });
  const ones = new Float64Array(list.length).fill(1);
  const means = (byRole: ByRole) =>
    Object.fromEntries([...byRole].map(([role, values]) => [role, meanPresent(values)]));
  const estimates = (byRole: ByRole) =>
    Object.fromEntries(
      [...byRole].map(([role, values]): [string, RoleShare] => {
        const { estimate, low, high } = ratioOfMeans(values, ones, clusters, draws);
        return [role, { mean: estimate, low, high }];
      }),
    );
  return {
    items: { used: list.length, dropped: droppedOf(items) },
    heads: heads.map((head, h) => {
      const [own, layer] = [plain[h] as ByRole, average.get(head.layer) as ByRole];
      return {
        head: componentName(head),
        roles: estimates(own),
        excess: estimates(difference(own, layer)),
        positional: means(layer),
        valueWeighted: means(weighted[h] as ByRole),
        type: headType(means(own)),
      };
    }),
    seconds: (performance.now() - started) / 1000,
  };
}

/** Of every item, so that the interval is that of the pairs. */
function difference(own: ByRole, layer: ByRole): ByRole {
  return new Map(
    [...own].map(([role, values]) => [
      role,
      values.map((value, item) => value - (layer.get(role)?.[item] as number)),
    ]),
  );
}

function addShares(byRole: ByRole, tokens: readonly RoleTokens[], item: number, row: Float64Array) {
  for (const { role, positions } of tokens) {
    const values = byRole.get(role) as Float64Array;
    values[item] = positions.reduce((sum, p) => sum + (row[p] as number), 0);
  }
}

async function readGrams(model: Model, heads: readonly HeadRef[], { signal }: CallOptions) {
  const weights = new Map<number, FloatArray>();
  const grams: Float64Array[] = [];
  for (const { layer, head } of heads) {
    const call = signal ? { signal } : {};
    const wo = weights.get(layer) ?? (await model.readWeight({ slot: "wo", layer }, call));
    weights.set(layer, wo);
    grams.push(outputGram(wo, model.spec.heads, model.spec.dHead, head));
  }
  return grams;
}

/** Patterns of END and values of all tokens of a chunk, at the layers asked for. */
async function captureAttention(
  model: Model,
  chunk: readonly Item[],
  layers: readonly number[],
  { signal }: CallOptions,
) {
  const { heads, kvHeads, dHead } = model.spec;
  const output = await model.forward({
    sequences: chunk.map((item) => item.reference),
    captures: [
      ...layers.map((layer) => ({ hook: hooks.pattern(layer), positions: "end" as const })),
      ...layers.map((layer) => ({ hook: hooks.v(layer) })),
    ],
    ...(signal && { signal }),
  });
  const { offsets } = output;
  const capture = (layer: number, values: boolean) =>
    output.captures[layers.indexOf(layer) + (values ? layers.length : 0)] as FloatArray;
  const length = (i: number) => (offsets[i + 1] as number) - (offsets[i] as number);
  const pattern = (layer: number, i: number, head: number) => {
    // One [heads, key] block an item; blocks of earlier items have as many keys as tokens.
    const from = heads * (offsets[i] as number) + head * length(i);
    return Float64Array.from(capture(layer, false).subarray(from, from + length(i)));
  };
  return {
    pattern,
    layerMean: (layer: number, i: number) => {
      const mean = new Float64Array(length(i));
      for (let head = 0; head < heads; ++head) {
        pattern(layer, i, head).forEach((weight, p) => {
          mean[p] = (mean[p] as number) + weight / heads;
        });
      }
      return mean;
    },
    value: (layer: number, i: number, p: number, head: number): [FloatArray, number] => {
      const group = Math.floor(head / (heads / kvHeads));
      return [capture(layer, true), (((offsets[i] as number) + p) * kvHeads + group) * dHead];
    },
  };
}
