// Neurons of MLPs that add most to the answer's logit, or take most from it, and the tokens that their
// output weights raise and lower (Geva et al. 2022).
import type { FloatArray } from "@keyheads/native";
import { clusterOf } from "../attribution/pairs.ts";
import { KeyheadsError } from "../errors.ts";
import { hooks } from "../hooks.ts";
import type { CallOptions, Model } from "../model.ts";
import type { NeuronContribution } from "../results.ts";
import { clusterDraws, numberClusters, ratioOfMeans } from "../statistics/bootstrap.ts";
import type { Item } from "../tasks/items.ts";
import { before, columnOf, dot, readPostNorms, timesColumns } from "./end-direction.ts";
import { readTokenScores } from "./token-scores.ts";

export interface NeuronOptions {
  /** Neurons listed; 20. 0: none are looked at. */
  readonly neurons?: number;
  /** Layers whose neurons are looked at; all by default. */
  readonly layers?: readonly number[];
  /** Tokens listed for every neuron; 5. */
  readonly tokens?: number;
  /** Bootstrap draws of intervals; 1000. */
  readonly draws?: number;
  readonly seed?: number;
}

interface Found {
  readonly layer: number;
  readonly neuron: number;
  readonly sum: number;
}

/** `directions` has one an item: what parts write to the residual stream is multiplied by it. */
export async function topNeurons(
  model: Model,
  items: readonly Item[],
  directions: readonly Float64Array[],
  options: NeuronOptions & CallOptions & { readonly batch: number },
): Promise<NeuronContribution[]> {
  const { neurons = 20, tokens = 5 } = options;
  if (neurons === 0) return [];
  const { layers, dMlp, dModel } = model.spec;
  const wanted = options.layers ?? Array.from({ length: layers }, (_, layer) => layer);
  checkLayers(wanted, model);
  const call: CallOptions = options.signal ? { signal: options.signal } : {};
  const norms = await readPostNorms(model, "mlpPostNorm", call);
  const scores = await readTokenScores(model, call);
  const clusters = numberClusters(items.map(clusterOf));
  const draws = clusterDraws(clusters.count, options);
  const ones = new Float64Array(items.length).fill(1);

  let found: (Found & { readonly result: NeuronContribution })[] = [];
  for (const layer of wanted) {
    // One layer at a time: its weights, and its activations at END of all items, [items, dMlp].
    const weights = await model.readWeight({ slot: "wDown", layer }, call);
    const { post, scale } = await activations(model, items, layer, options.batch, call);
    const writes = directions.map((direction, i) => before(norms[layer], direction, scale?.[i]));
    const sums = new Float64Array(dMlp);
    const active = new Float64Array(dMlp);
    for (const [i, direction] of writes.entries()) {
      const gains = timesColumns(direction, weights, dMlp);
      for (let n = 0; n < dMlp; ++n) {
        const value = post[i * dMlp + n] as number;
        sums[n] = (sums[n] as number) + value * (gains[n] as number);
        active[n] = (active[n] as number) + value;
      }
    }
    const best = [...sums.keys()]
      .sort((a, b) => Math.abs(sums[b] as number) - Math.abs(sums[a] as number))
      .slice(0, neurons);
    for (const neuron of best) {
      const column = columnOf(weights, dMlp, neuron);
      const values = Float64Array.from(writes, (direction, i) => {
        return (post[i * dMlp + neuron] as number) * dot(direction, column);
      });
      const { estimate, low, high } = ratioOfMeans(values, ones, clusters, draws);
      const written = before(norms[layer], column, norms[layer] && 1);
      const { top, bottom } = scores(written.subarray(0, dModel), tokens);
      found.push({
        ...{ layer, neuron, sum: sums[neuron] as number },
        result: {
          ...{ layer, neuron, logit: { mean: estimate, low, high } },
          activation: (active[neuron] as number) / items.length,
          ...{ promotes: top, suppresses: bottom },
        },
      });
    }
    found = found.sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum)).slice(0, neurons);
  }
  return found.map(({ result }) => result);
}

async function activations(
  model: Model,
  items: readonly Item[],
  layer: number,
  batch: number,
  call: CallOptions,
): Promise<{ post: Float64Array; scale: Float64Array | undefined }> {
  const { dMlp, normPlacement } = model.spec;
  const post = new Float64Array(items.length * dMlp);
  const scale = normPlacement === "pre" ? undefined : new Float64Array(items.length);
  for (let start = 0; start < items.length; start += batch) {
    const chunk = items.slice(start, start + batch);
    const { captures } = await model.forward({
      sequences: chunk.map((item) => item.reference),
      captures: [
        { hook: hooks.mlp_post(layer), positions: "end" },
        ...(scale ? [{ hook: hooks.ln2_post_scale(layer), positions: "end" as const }] : []),
      ],
      ...call,
    });
    post.set(captures[0] as FloatArray, start * dMlp);
    scale?.set(captures[1] as FloatArray, start);
  }
  return { post, scale };
}

function checkLayers(wanted: readonly number[], { spec, name }: Model): void {
  if (spec.experts > 0) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `${name} is a mixture of experts, whose neurons are not told apart here; ask for none (neurons 0)`,
    );
  }
  const strange = wanted.find(
    (layer) => !(Number.isInteger(layer) && layer >= 0 && layer < spec.layers),
  );
  if (strange === undefined) return;
  throw new KeyheadsError(
    "BAD_ARGUMENT",
    `there is no layer ${strange}; this model has layers 0 to ${spec.layers - 1}`,
  );
}
