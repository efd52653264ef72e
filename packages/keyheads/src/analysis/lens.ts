// How the answer comes about at END, layer by layer: the logit lens, the cosines of what goes into
// and comes out of every MLP with the unembedding rows of the operands (A, B) and the answer (C),
// and the direct contribution of attention and MLP to the answer's logit.
import { performance } from "node:perf_hooks";
import type { FloatArray } from "@keyheads/native";
import { droppedOf, itemsOf } from "../attribution/pairs.ts";
import { meanPresent } from "../attribution/summary.ts";
import { KeyheadsError } from "../errors.ts";
import { concatenate, part } from "../float-arrays.ts";
import { hooks } from "../hooks.ts";
import type { CallOptions, Model } from "../model.ts";
import type { LensCosines, LensLayer, LensResult } from "../results.ts";
import { rng } from "../statistics/rng.ts";
import type { Item, ItemSet } from "../tasks/items.ts";
import { readDirect } from "./direct-logit.ts";
import { type Lensed, readThroughLens } from "./logit-lens.ts";
import { mlpPhases } from "./mlp-phases.ts";
import { baselineOf, tokensOf } from "./number-tokens.ts";
import { cosine, readUnembedding } from "./unembedding.ts";

export interface LensOptions extends CallOptions {
  /** Most frequent top tokens listed per layer; 5. */
  readonly topTokens?: number;
  readonly seed?: number;
  /** Items per native call; 256. */
  readonly batch?: number;
}

/** Running sums of one layer; NaN where an item has no such token. */
interface LayerValues {
  readonly lens: Lensed[];
  readonly cosines: Record<"mlpIn" | "mlpOut" | "mlpDelta", Record<keyof LensCosines, number[]>>;
  readonly attnLogit: number[];
  readonly mlpLogit: number[];
}

/**
 * Logit lens, MLP cosines and direct logit attribution at END, layer by layer.
 *
 * A and B are the roles operand1 and operand2 where they are one token; null where no item has
 * them. Throws BAD_ITEMS if there are no items.
 */
export async function lens(
  model: Model,
  items: ItemSet | readonly Item[],
  options: LensOptions = {},
): Promise<LensResult> {
  const started = performance.now();
  const list = itemsOf(items);
  if (list.length === 0) throw new KeyheadsError("BAD_ITEMS", "there are no items to look at");
  const { batch = 256, topTokens = 5 } = options;
  const call: CallOptions = options.signal ? { signal: options.signal } : {};
  const { layers, dModel } = model.spec;
  const unembedding = await readUnembedding(model, call);
  const direct = await readDirect(model, call);
  const baseline = baselineOf(list, unembedding.vocab, rng(options.seed ?? 0));
  const values = Array.from({ length: layers }, emptyLayer);

  for (let start = 0; start < list.length; start += batch) {
    const chunk = list.slice(start, start + batch);
    const streams = await captureStreams(model, chunk, call);
    const answers = Int32Array.from(chunk, (item) => item.answerId);
    const everyLayer = Int32Array.from({ length: layers * chunk.length }, (_, i) => {
      return answers[i % chunk.length] as number;
    });
    const lensed = await readThroughLens(model, streams.post, everyLayer, call);
    chunk.forEach((item, i) => {
      const rows = tokensOf(item, unembedding);
      const randomRows = baseline(item).map((token) => unembedding.row(token));
      const project = direct.projection(rows.C, streams.scale[i] as number);
      values.forEach((layer, l) => {
        const at = (all: FloatArray) => part(all, l, layers).subarray(i * dModel, (i + 1) * dModel);
        const vectors = {
          mlpIn: at(streams.mlpIn),
          mlpOut: at(streams.post),
          mlpDelta: at(streams.mlp),
        };
        for (const [name, vector] of Object.entries(vectors)) {
          const cosines = layer.cosines[name as keyof typeof vectors];
          for (const role of ["A", "B", "C"] as const) {
            const row = rows[role];
            cosines[role].push(row ? cosine(vector, row) : Number.NaN);
          }
          const random = randomRows.map((row) => cosine(vector, row));
          cosines.baseline.push(random.reduce((a, b) => a + b, 0) / random.length);
        }
        layer.lens.push(lensed[l * chunk.length + i] as Lensed);
        layer.attnLogit.push(project(at(streams.attn)));
        layer.mlpLogit.push(project(at(streams.mlp)));
      });
    });
    options.onProgress?.(start + chunk.length, list.length);
  }

  const name = (token: number) => model.tokenizer?.tokenText(token) ?? `#${token}`;
  const results = values.map((layer, l) => summariseLayer(layer, l, topTokens, name));
  const excess = ({ C, baseline: random }: LensCosines) => C - random;
  return {
    items: { used: list.length, dropped: droppedOf(items) },
    layers: results,
    mlpPhases: mlpPhases(
      results.map((layer) => excess(layer.mlpOut)),
      excess((results[0] as LensLayer).mlpIn),
    ),
    seconds: (performance.now() - started) / 1000,
  };
}

function emptyLayer(): LayerValues {
  const cosines = () => ({ A: [], B: [], C: [], baseline: [] });
  return {
    lens: [],
    cosines: { mlpIn: cosines(), mlpOut: cosines(), mlpDelta: cosines() },
    attnLogit: [],
    mlpLogit: [],
  };
}

/** At END, [layers, items, dModel]; the final norm's scale is [items]. */
async function captureStreams(model: Model, chunk: readonly Item[], call: CallOptions) {
  const { layers } = model.spec;
  const each = Array.from({ length: layers }, (_, layer) => layer);
  const names = [hooks.mlp_in, hooks.resid_post, hooks.attn_out, hooks.mlp_out];
  const { captures } = await model.forward({
    sequences: chunk.map((item) => item.reference),
    captures: [...names.flatMap((name) => each.map(name)), hooks.ln_final_scale()].map((hook) => ({
      hook,
      positions: "end" as const,
    })),
    ...call,
  });
  const all = (n: number) => concatenate(captures.slice(n * layers, (n + 1) * layers));
  return {
    mlpIn: all(0),
    post: all(1),
    attn: all(2),
    mlp: all(3),
    scale: captures[4 * layers] as FloatArray,
  };
}

function summariseLayer(
  { lens: read, cosines, attnLogit, mlpLogit }: LayerValues,
  layer: number,
  topTokens: number,
  name: (token: number) => string,
): LensLayer {
  const mean = (values: readonly number[]) => meanPresent(Float64Array.from(values));
  const counts = new Map<number, number>();
  for (const { top } of read) counts.set(top, (counts.get(top) ?? 0) + 1);
  const summary = (values: Record<keyof LensCosines, number[]>): LensCosines => {
    const orNull = (value: number) => (Number.isNaN(value) ? null : value);
    return {
      A: orNull(mean(values.A)),
      B: orNull(mean(values.B)),
      C: mean(values.C),
      baseline: mean(values.baseline),
    };
  };
  return {
    layer,
    answerRank: mean(read.map(({ rank }) => rank)),
    answerProb: mean(read.map(({ prob }) => prob)),
    topTokens: [...counts]
      .sort((a, b) => b[1] - a[1])
      .slice(0, topTokens)
      .map(([token, count]) => ({ token: name(token), share: count / read.length })),
    mlpIn: summary(cosines.mlpIn),
    mlpOut: summary(cosines.mlpOut),
    mlpDelta: summary(cosines.mlpDelta),
    attnLogit: mean(attnLogit),
    mlpLogit: mean(mlpLogit),
  };
}
