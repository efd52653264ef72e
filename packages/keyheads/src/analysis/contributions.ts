// Direct logit attribution: what the embedding, every head, every MLP and single neurons add to the
// answer's logit at END, straight through the final norm, its scale frozen at its value in this run.
import { performance } from "node:perf_hooks";
import type { FloatArray } from "@keyheads/native";
import { droppedOf, itemsOf } from "../attribution/pairs.ts";
import { KeyheadsError } from "../errors.ts";
import { hooks } from "../hooks.ts";
import type { CallOptions, Model } from "../model.ts";
import type { ContributionsResult } from "../results.ts";
import type { Item, ItemSet } from "../tasks/items.ts";
import { readDirect } from "./direct-logit.ts";
import { before, dot, readPostNorms } from "./end-direction.ts";
import { type NeuronOptions, topNeurons } from "./neurons.ts";
import { readUnembedding } from "./unembedding.ts";

export interface ContributionsOptions extends CallOptions, NeuronOptions {
  /** Items per native call; 32. */
  readonly batch?: number;
}

/**
 * Direct logit attribution of every head, MLP and neuron. Throws BAD_ITEMS if there are no items,
 * BAD_ARGUMENT for layers that do not exist, or for neurons of a mixture of experts.
 *
 * @example
 * const { heads, neurons } = await contributions(model, items, { neurons: 10 });
 * console.log(heads[2]?.[1], neurons[0]?.promotes);
 */
export async function contributions(
  model: Model,
  items: ItemSet | readonly Item[],
  options: ContributionsOptions = {},
): Promise<ContributionsResult> {
  const started = performance.now();
  const list = itemsOf(items);
  if (list.length === 0) throw new KeyheadsError("BAD_ITEMS", "there are no items to look at");
  const { layers, heads, dModel } = model.spec;
  const { batch = 32 } = options;
  const call: CallOptions = options.signal ? { signal: options.signal } : {};
  const each = Array.from({ length: layers }, (_, layer) => layer);
  const unembedding = await readUnembedding(model, call);
  const direct = await readDirect(model, call);
  const norms = await readPostNorms(model, "attnPostNorm", call);
  const sums = {
    ...{ total: 0, embedding: 0 },
    heads: each.map(() => new Float64Array(heads)),
    mlps: new Float64Array(layers),
  };
  /** Of every item: what parts write is multiplied by this. */
  const directions: Float64Array[] = [];
  for (let start = 0; start < list.length; start += batch) {
    const chunk = list.slice(start, start + batch);
    const run = await captureEnd(model, chunk, call);
    for (const [i, item] of chunk.entries()) {
      const of = (values: FloatArray | undefined, width: number) =>
        (values as FloatArray).subarray(i * width, (i + 1) * width);
      const row = unembedding.row(item.answerId);
      const direction = direct.direction(row, run.scale?.[i] as number);
      directions.push(direction);
      sums.total += dot(direction, of(run.final, dModel));
      sums.embedding += dot(direction, of(run.embedding, dModel));
      for (const layer of each) {
        const writes = before(norms[layer], direction, run.attnScale[layer]?.[i]);
        const results = of(run.results[layer], heads * dModel);
        const into = sums.heads[layer] as Float64Array;
        for (let head = 0; head < heads; ++head) {
          const result = results.subarray(head * dModel, (head + 1) * dModel);
          into[head] = (into[head] as number) + dot(writes, result);
        }
        const mlp = dot(direction, of(run.mlps[layer], dModel));
        sums.mlps[layer] = (sums.mlps[layer] as number) + mlp;
      }
    }
    options.onProgress?.(start + chunk.length, list.length);
  }
  const mean = (values: Float64Array) => Array.from(values, (value) => value / list.length);
  const [ofHeads, mlps] = [sums.heads.map(mean), mean(sums.mlps)];
  const [total, embedding] = [sums.total / list.length, sums.embedding / list.length];
  const rest = [...ofHeads.flat(), ...mlps].reduce(
    (left, value) => left - value,
    total - embedding,
  );
  return {
    items: { used: list.length, dropped: droppedOf(items) },
    ...{ total, embedding, heads: ofHeads, mlps, biases: rest },
    neurons: await topNeurons(model, list, directions, { ...options, batch }),
    seconds: (performance.now() - started) / 1000,
  };
}

/** At END: [items, ...]; results are [items, heads, dModel], scales [items]. */
async function captureEnd(model: Model, chunk: readonly Item[], call: CallOptions) {
  const { layers, normPlacement } = model.spec;
  const each = Array.from({ length: layers }, (_, layer) => layer);
  const last = hooks.resid_post(layers - 1);
  const { captures } = await model.forward({
    sequences: chunk.map((item) => item.reference),
    captures: [
      ...[hooks.ln_final_scale(), last, hooks.resid_pre(0)],
      ...each.map(hooks.mlp_out),
      ...each.map(hooks.result),
      ...(normPlacement === "pre" ? [] : each.map(hooks.ln1_post_scale)),
    ].map((hook) => ({ hook, positions: "end" as const })),
    ...call,
  });
  const [scale, final, embedding, ...rest] = captures;
  return {
    ...{ scale, final, embedding },
    mlps: rest.slice(0, layers),
    results: rest.slice(layers, 2 * layers),
    attnScale: rest.slice(2 * layers),
  };
}
