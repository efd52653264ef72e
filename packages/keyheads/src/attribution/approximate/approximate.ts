// The approximations by name: effects of every sender on every item, in chunks of items, for the effect
// that was asked for and for the paper's relative logit, which names key heads.
import type { ModelSpec } from "@keyheads/native";
import { KeyheadsError } from "../../errors.ts";
import { concatenate } from "../../float-arrays.ts";
import type { CallOptions, Model } from "../../model.ts";
import type { Component } from "../component.ts";
import { edgeAttribution } from "../edges/eap.ts";
import { type EdgeGraph, edgeCount, edgeGraph } from "../edges/graph.ts";
import { sumEdges } from "../edges/score.ts";
import { type Effect, type Guard, relativeLogit } from "../effects.ts";
import type { ApproximateMethod, Interpolation, MlpPath, Positions } from "../options.ts";
import type { Pair } from "../pairs.ts";
import { type BaseReading, pickReading } from "../reading.ts";
import type { ItemEffects } from "../summary.ts";
import { droppedParts, droppedSenders, partEffects } from "./atp-star.ts";
import { allParts, type Part } from "./attention-parts.ts";
import { attributionPatching, rulesOf } from "./attribution-patching.ts";
import { type Dropped, withSign } from "./grad-drop.ts";
import { isDefined, type Metric } from "./metric.ts";

export interface Approximation {
  readonly method: ApproximateMethod;
  readonly positions: Positions;
  readonly mlpPath: MlpPath;
  readonly senders: readonly Component[];
  /** Of eap-ig. */
  readonly steps: number;
  readonly interpolate: Interpolation;
  /** Effects of queries, keys and values too (atp, atp-star). */
  readonly parts: boolean;
  /** Keep the effect of every edge on every item (eap, eap-ig). */
  readonly edges: boolean;
}
export interface Approximated extends ItemEffects {
  readonly parts?: { readonly parts: readonly Part[]; readonly effects: readonly Float64Array[] };
  readonly edges?: { readonly graph: EdgeGraph; readonly effects: readonly Float64Array[] };
}

/** Edge effects of so many numbers at most are kept. */
const mostEdgeNumbers = 2 ** 27;

export async function approximate(
  model: Model,
  pairs: readonly Pair[],
  approximation: Approximation,
  { effect, guard, reference }: { effect: Effect; guard: Guard; reference: BaseReading },
  { signal, onProgress }: CallOptions,
): Promise<Approximated> {
  const call: CallOptions = signal ? { signal } : {};
  const chunks: Chunk[] = [];
  for (const [start, stop] of chunksOf(model, pairs, approximation)) {
    const of = (one: Effect): Metric => ({
      pairs: pairs.slice(start, stop),
      effect: one,
      guard,
      reference: pickReading(reference, range(start, stop)),
    });
    chunks.push(
      await approximateChunk(model, [of(effect), of(relativeLogit)], approximation, call),
    );
    onProgress?.(stop, pairs.length);
  }
  return join(chunks, model.spec);
}

/** Of the effect and of the relative logit. */
interface Chunk {
  readonly senders: readonly [Values, Values];
  readonly parts?: Values;
  readonly edges?: Values;
}
/** One a sender; magnitudes get their sign when all chunks are there. */
type Values = readonly (Float64Array | Dropped)[];

async function approximateChunk(
  model: Model,
  metrics: readonly [Metric, Metric],
  options: Approximation,
  call: CallOptions,
): Promise<Chunk> {
  const { method, positions, mlpPath, senders } = options;
  switch (method) {
    case "atp-star": {
      const values = await droppedSenders(model, metrics, senders, positions, call);
      return {
        senders: both(metrics, values),
        ...(options.parts && {
          parts: markUndefined(metrics[0], await droppedParts(model, metrics[0], positions, call)),
        }),
      };
    }
    case "eap":
    case "eap-ig":
      return await edgeChunk(model, metrics, options, call);
    default: {
      const rules = rulesOf(method, mlpPath);
      const values = await attributionPatching(model, metrics, senders, { positions, rules }, call);
      if (method !== "atp" || !options.parts) return { senders: both(metrics, values) };
      const parts = await partEffects(model, metrics[0], { positions, qkFix: false }, call);
      return { senders: both(metrics, values), parts: markUndefined(metrics[0], await parts([])) };
    }
  }
}

async function edgeChunk(
  model: Model,
  metrics: readonly [Metric, Metric],
  { method, positions, steps, interpolate, senders, edges }: Approximation,
  call: CallOptions,
): Promise<Chunk> {
  const graph = edgeGraph(model.spec);
  const scores = await edgeAttribution(
    model,
    metrics,
    { positions, steps, interpolate: method === "eap" ? "none" : interpolate },
    call,
  );
  const nodes = scores.map((values) => {
    const sums = sumEdges(graph, values);
    return senders.map(
      ({ layer, head }) =>
        sums[
          graph.senders.findIndex((sender) => sender.layer === layer && sender.head === head)
        ] as Float64Array,
    );
  });
  const items = metrics[0].pairs.length;
  const [first] = scores;
  return {
    senders: both(metrics, nodes),
    ...(edges && {
      edges: markUndefined(
        metrics[0],
        Array.from({ length: edgeCount(graph) }, (_, edge) =>
          (first as Float64Array).slice(edge * items, (edge + 1) * items),
        ),
      ),
    }),
  };
}

function both(metrics: readonly Metric[], values: readonly Values[]): [Values, Values] {
  const marked = metrics.map((metric, m) => markUndefined(metric, values[m] as Values));
  return [marked[0] as Values, marked[1] as Values];
}

/** Items on which a metric is not defined get NaN, which leaves them out of its means. */
function markUndefined(metric: Metric, values: Values): Values {
  for (const value of values) {
    const items = "magnitude" in value ? value.magnitude : value;
    items.forEach((_, item) => {
      if (!isDefined(metric, item)) items[item] = Number.NaN;
    });
  }
  return values;
}

function join(chunks: readonly Chunk[], spec: ModelSpec): Approximated {
  const over = (pick: (chunk: Chunk) => Values): Float64Array[] =>
    (chunks[0] ? pick(chunks[0]) : []).map((first, s) => {
      const pieces = chunks.map((chunk) => pick(chunk)[s]);
      return "magnitude" in first
        ? withSign(pieces as Dropped[])
        : (concatenate(pieces as Float64Array[]) as Float64Array);
    });
  const [first] = chunks;
  return {
    effects: over(({ senders }) => senders[0]),
    relative: over(({ senders }) => senders[1]),
    ...(first?.parts && {
      parts: { parts: allParts(spec), effects: over(({ parts }) => parts as Values) },
    }),
    ...(first?.edges && {
      edges: {
        graph: edgeGraph(spec),
        effects: over(({ edges }) => edges as Values),
      },
    }),
  };
}

function tooManyEdges(edges: number, items: number): KeyheadsError {
  return new KeyheadsError(
    "BAD_ARGUMENT",
    `${edges} edges of ${items} items are too many to keep; use fewer items, or ask for no edges (--edges 0)`,
  );
}

const range = (start: number, stop: number): number[] =>
  Array.from({ length: stop - start }, (_, i) => start + i);

/** Bytes of activations that one backward run may keep, roughly. */
const mostBytes = 2 ** 29;

/** Chunks of items whose runs, with what they keep for the way back, stay small. */
function chunksOf(
  { spec, dtype }: Model,
  pairs: readonly Pair[],
  { method, parts, edges }: Approximation,
): [number, number][] {
  const { layers, dModel, heads, kvHeads, dHead, dMlp } = spec;
  const longest = Math.max(...pairs.map(({ reference }) => reference.length));
  const graph = method === "eap" || method === "eap-ig" ? edgeGraph(spec) : undefined;
  if (graph && edges && edgeCount(graph) * pairs.length > mostEdgeNumbers) {
    throw tooManyEdges(edgeCount(graph), pairs.length);
  }
  const numbers =
    8 * dModel +
    6 * heads * dHead +
    4 * dMlp +
    // of edges: a stream for every head that reads one, and what every head adds, on X_c and X_r
    (graph ? (3 * heads + 2 * kvHeads) * dModel : 0) +
    (parts ? 6 * heads * longest : 0);
  const bytes = dtype === "f64" ? 8 : 4;
  const items = Math.floor(mostBytes / (bytes * layers * numbers * longest));
  const most = graph ? Math.min(items, Math.floor(mostEdgeNumbers / 8 / edgeCount(graph))) : items;
  // as equal as they can be
  const chunks = Math.ceil(pairs.length / Math.max(1, most));
  const size = Math.ceil(pairs.length / chunks);
  return Array.from({ length: Math.ceil(pairs.length / size) }, (_, i) => [
    i * size,
    Math.min(pairs.length, (i + 1) * size),
  ]);
}
