// Decoding: greedy or sampled, with a key/value cache or (the slow twin) by running the whole
// sequence again for every token. Both give the same tokens, and hooks see the same positions.
import type { CacheHandle, FloatArray } from "@keyheads/native";
import { CachedActivation } from "./activation-cache.ts";
import { type CallOptions, callEngine } from "./engine.ts";
import { KeyheadsError } from "./errors.ts";
import { OwnedHandle } from "./handle.ts";
import { type Intervention, withInterventions } from "./interventions.ts";
import type { Model } from "./model.ts";
import { endRows } from "./packing.ts";
import { type Placement, type SiteOptions, selectSite } from "./sites.ts";
import { type Rng, rng } from "./statistics/rng.ts";
import { Layout } from "./tensor-view.ts";

export interface GenerateOptions extends CallOptions {
  /** Default: 50, or what the context leaves. */
  readonly maxTokens?: number;
  /** 0 (the default) is greedy; the lowest id wins a tie. */
  readonly temperature?: number;
  /** Of the sampling; sequence i draws from seed + i. */
  readonly seed?: number;
  /** Generation ends with, and includes, any of these. */
  readonly stopIds?: readonly number[];
  /** Default true. */
  readonly useCache?: boolean;
  /**
   * Edits and functions that apply while generating, after the model's own hooks. Positions count
   * from the start of the whole sequence; "end" is the prompt's last token and every token after it;
   * `steps` chooses steps. What never has a position is an error at the end. rows and op "mean"
   * depend on the batch and are not allowed. Without a cache, functions see the whole sequence in
   * every step.
   */
  readonly edits?: readonly Intervention[];
  /** What to keep of every step's new positions, for `onStep`. */
  readonly captures?: readonly SiteOptions[];
  /** Called after every step that captures anything. */
  readonly onStep?: (step: GenerationStep) => void;
  /** Called for every new token of every sequence. */
  readonly onToken?: (id: number, sequence: number) => void;
}

export interface GenerationStep {
  /** 0 for the run over the prompts, n for the one that read the n-th new token. */
  readonly step: number;
  /** In the order of the request, without those that have no position in this step. */
  readonly captures: readonly CachedActivation[];
}

/** Continues every prompt; gives the new ids only. */
export async function generateTokens(
  model: Model,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): Promise<number[][]> {
  const limit = tokenLimit(model, prompts, options);
  const interventions = model.interventions(options.edits);
  checkSites([...interventions, ...(options.captures ?? [])]);
  const { temperature = 0, seed = 0, stopIds = [] } = options;
  const pick = picker(
    model.spec.vocab,
    temperature,
    prompts.map((_, i) => rng(seed + i)),
  );
  const stopped = prompts.map(() => false);
  const fired = new Set<SiteOptions>();
  using run = await decoder(model, { prompts, options, interventions, stopped, fired });
  const sequences = prompts.map((prompt) => [...prompt]);
  let steps = 0;
  for (; steps < limit && stopped.includes(false); ++steps) {
    const logits = await run.step(sequences);
    checkFinite(logits, stopped, steps);
    const next = pick(logits);
    for (const [i, id] of next.entries()) {
      // A finished sequence runs along with the others, because the cache has a row for it, but its
      // tokens are dropped below.
      sequences[i]?.push(id);
      if (stopped[i]) continue;
      options.onToken?.(id, i);
      stopped[i] = stopIds.includes(id);
    }
  }
  if (steps > 0) checkFired([...interventions, ...(options.captures ?? [])], fired, steps);
  return sequences.map((ids, i) => {
    const fresh = ids.slice(prompts[i]?.length);
    const end = fresh.findIndex((id) => stopIds.includes(id));
    return end < 0 ? fresh : fresh.slice(0, end + 1);
  });
}

interface Logits {
  readonly argmax: Int32Array;
  /** NaN where any logit of the sequence is, or none is finite. */
  readonly logsumexp: ArrayLike<number>;
  readonly logits: ArrayLike<number>;
}

interface Decoder extends Disposable {
  /** Logits of the last token of every sequence. */
  step(sequences: readonly (readonly number[])[]): Promise<Logits>;
}

/** One generation. */
interface Generation {
  readonly prompts: readonly (readonly number[])[];
  readonly options: GenerateOptions;
  readonly interventions: readonly Intervention[];
  readonly stopped: readonly boolean[];
  readonly fired: Set<SiteOptions>;
}

/** Runs `fresh`, whose first tokens are at `starts`, in step `step`. */
type Forward = (
  fresh: readonly (readonly number[])[],
  at: { step: number; starts: readonly number[]; fresh?: readonly number[]; cache?: CacheHandle },
) => Promise<Logits>;

async function decoder(model: Model, generation: Generation): Promise<Decoder> {
  const { prompts, options, interventions } = generation;
  const { spec, dtype } = model;
  const lengths = prompts.map((prompt) => prompt.length);
  const logits = (options.temperature ?? 0) > 0 ? "all" : "none";
  const forward: Forward = async (tokens, { step, starts, fresh, cache }) => {
    const batch = model.pack(tokens);
    const placement: Placement = {
      starts,
      prompts: lengths,
      finished: generation.stopped,
      fired: generation.fired,
    };
    const shown = fresh ? { ...placement, fresh } : placement;
    const chosen = (options.captures ?? [])
      .map((site) => selectSite(site, spec, batch, shown))
      .filter(({ site }) => site.rows?.length !== 0);
    const rows = endRows(batch.offsets);
    const readout = { rows, logits, argmax: true, logsumexp: true } as const;
    const captures = chosen.map(({ site }) => site);
    const rest = { batch, captures, readout, ...(cache !== undefined && { cache }) };
    const result = await withInterventions(
      interventions,
      { spec, dtype, batch, placement },
      (edits) =>
        callEngine(
          (binding, control) => binding.forward(model.handle, { ...rest, edits }, control),
          options.signal ? { signal: options.signal } : {},
        ),
    );
    if (chosen.length > 0) {
      const kept = chosen.map(({ point, site }, i) => {
        const layout = new Layout(point, site, { spec, batch, starts });
        return new CachedActivation(layout, result.captures[i] as FloatArray);
      });
      options.onStep?.({ step, captures: kept });
    }
    return {
      argmax: result.argmax as Int32Array,
      logsumexp: result.logsumexp as FloatArray,
      logits: result.logits ?? [],
    };
  };
  if (options.useCache !== false) return await cachedDecoder(model, lengths, forward);
  const starts = prompts.map(() => 0);
  let step = 0;
  return {
    async step(sequences) {
      const fresh = step === 0 ? starts : sequences.map((ids) => ids.length - 1);
      return await forward(sequences, { step: step++, starts, fresh });
    },
    [Symbol.dispose]: () => undefined,
  };
}

async function cachedDecoder(
  model: Model,
  lengths: readonly number[],
  forward: Forward,
): Promise<Decoder> {
  const handle = await callEngine((binding, control) =>
    binding.createCache(model.handle, lengths.length, control),
  );
  let step = 0;
  const decoder: Decoder = {
    async step(sequences) {
      const fresh = step === 0 ? sequences : sequences.map((ids) => ids.slice(-1));
      const starts = sequences.map((ids) => (step === 0 ? 0 : ids.length - 1));
      return await forward(fresh, { step: step++, starts, cache: cache.value });
    },
    [Symbol.dispose]: () => cache.dispose(),
  };
  const cache = new OwnedHandle(decoder, handle, "the key/value cache");
  return decoder;
}

/** No token can be chosen where a logit is NaN or infinite. */
function checkFinite({ logsumexp }: Logits, stopped: readonly boolean[], step: number): void {
  const wrong = stopped.findIndex((done, i) => !done && !Number.isFinite(logsumexp[i]));
  if (wrong < 0) return;
  throw new KeyheadsError(
    "NON_FINITE",
    `the logits of sequence ${wrong} are not finite in step ${step} (${logsumexp[wrong]}); look for NaN or infinity in the weights and in what hooks write`,
  );
}

function picker(vocab: number, temperature: number, random: readonly Rng[]) {
  if (!(temperature >= 0 && temperature < Number.POSITIVE_INFINITY)) {
    throw new KeyheadsError("BAD_ARGUMENT", `temperature ${temperature}: expected 0 or more`);
  }
  if (temperature === 0) return ({ argmax }: Logits) => [...argmax];
  return ({ argmax, logits }: Logits) =>
    random.map(({ next }, i) => {
      const top = logits[i * vocab + (argmax[i] as number)] as number;
      const weights = Array.from({ length: vocab }, (_, id) =>
        Math.exp(((logits[i * vocab + id] as number) - top) / temperature),
      );
      return draw(weights, next()) ?? (argmax[i] as number);
    });
}

/** The index at which the running sum of weights passes `share` of their total. */
function draw(weights: readonly number[], share: number): number | undefined {
  let left = share * weights.reduce((sum, weight) => sum + weight, 0);
  for (const [index, weight] of weights.entries()) {
    left -= weight;
    if (left < 0) return index;
  }
  return undefined;
}

function tokenLimit(
  model: Model,
  prompts: readonly (readonly number[])[],
  { maxTokens }: GenerateOptions,
): number {
  // The last new token is never fed back, so it may lie one beyond the context.
  const room = model.spec.context + 1 - Math.max(...prompts.map((prompt) => prompt.length));
  if (maxTokens === undefined) return Math.max(0, Math.min(50, room));
  if (!(Number.isInteger(maxTokens) && maxTokens >= 0)) {
    throw new KeyheadsError("BAD_ARGUMENT", `maxTokens ${maxTokens}: expected a count`);
  }
  if (maxTokens <= room) return maxTokens;
  throw new KeyheadsError(
    "BAD_ARGUMENT",
    `${maxTokens} new tokens do not fit: the context is ${model.spec.context} tokens (${model.contextFrom}), which leaves ${Math.max(0, room)}`,
  );
}

function checkSites(sites: readonly (SiteOptions & { readonly op?: string })[]): void {
  for (const { hook, rows, op } of sites) {
    if (!rows && op !== "mean") continue;
    const what = rows ? "rows" : 'op "mean"';
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `${hook}: ${what} cannot be used while generating, because the batch changes with every token; use positions, items or steps`,
    );
  }
}

/** A hook that silently does nothing is an error. */
function checkFired(
  sites: readonly SiteOptions[],
  fired: ReadonlySet<SiteOptions>,
  steps: number,
): void {
  const idle = sites.find((site) => !fired.has(site));
  if (!idle) return;
  throw new KeyheadsError(
    "BAD_ARGUMENT",
    `${idle.hook} did not fire in ${steps} steps: none of its positions, items and steps came up`,
  );
}
