// Decoding: greedy or sampled, with a key/value cache or (the slow twin) by running the whole
// sequence again for every token. Both give the same tokens.
import type { CacheHandle } from "@keyheads/native";
import { type CallOptions, callEngine } from "./engine.ts";
import { KeyheadsError } from "./errors.ts";
import { OwnedHandle } from "./handle.ts";
import type { Model } from "./model.ts";
import { endRows } from "./packing.ts";
import { type HookEdit, toEdit } from "./sites.ts";
import { type Rng, rng } from "./statistics/rng.ts";

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
   * Apply while generating. positions "end" is the prompt's last token and every token after it;
   * rows and op "mean" depend on the batch and are not allowed.
   */
  readonly edits?: readonly HookEdit[];
  /** Called for every new token of every sequence. */
  readonly onToken?: (id: number, sequence: number) => void;
}

/** Continues every prompt; gives the new ids only. */
export async function generateTokens(
  model: Model,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): Promise<number[][]> {
  const limit = tokenLimit(model, prompts, options);
  checkEdits(options.edits ?? []);
  const { temperature = 0, seed = 0, stopIds = [] } = options;
  const pick = picker(
    model.spec.vocab,
    temperature,
    prompts.map((_, i) => rng(seed + i)),
  );
  using run = await decoder(model, prompts, options);
  const sequences = prompts.map((prompt) => [...prompt]);
  const stopped = prompts.map(() => false);
  for (let n = 0; n < limit && stopped.includes(false); ++n) {
    const next = pick(await run.step(sequences));
    for (const [i, id] of next.entries()) {
      // A finished sequence runs along with the others, because the cache has a row for it, but its
      // tokens are dropped below.
      sequences[i]?.push(id);
      if (stopped[i]) continue;
      options.onToken?.(id, i);
      stopped[i] = stopIds.includes(id);
    }
  }
  return sequences.map((ids, i) => {
    const fresh = ids.slice(prompts[i]?.length);
    const end = fresh.findIndex((id) => stopIds.includes(id));
    return end < 0 ? fresh : fresh.slice(0, end + 1);
  });
}

interface Logits {
  readonly argmax: Int32Array;
  readonly logits: ArrayLike<number>;
}

interface Decoder extends Disposable {
  /** Logits of the last token of every sequence. */
  step(sequences: readonly (readonly number[])[]): Promise<Logits>;
}

async function decoder(
  model: Model,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): Promise<Decoder> {
  const starts = prompts.map((prompt) => prompt.length - 1);
  const logits = (options.temperature ?? 0) > 0 ? "all" : "none";
  const forward = async (
    fresh: readonly (readonly number[])[],
    from: readonly number[],
    cache?: CacheHandle,
  ): Promise<Logits> => {
    const batch = model.pack(fresh);
    const edits = (options.edits ?? []).map(({ positions, ...edit }) => {
      const rows = positions === "end" ? { rows: rowsFrom(batch.offsets, from) } : {};
      return toEdit({ ...edit, ...rows }, model.spec, batch, model.dtype);
    });
    const readout = { rows: endRows(batch.offsets), logits, argmax: true } as const;
    const request = { batch, captures: [], edits, readout, ...(cache !== undefined && { cache }) };
    const result = await callEngine(
      (binding, control) => binding.forward(model.handle, request, control),
      options.signal ? { signal: options.signal } : {},
    );
    return { argmax: result.argmax as Int32Array, logits: result.logits ?? [] };
  };
  if (options.useCache === false) {
    return { step: (sequences) => forward(sequences, starts), [Symbol.dispose]: () => undefined };
  }
  return await cachedDecoder(model, starts, forward);
}

async function cachedDecoder(
  model: Model,
  starts: readonly number[],
  forward: (
    fresh: readonly (readonly number[])[],
    from: readonly number[],
    cache: CacheHandle,
  ) => Promise<Logits>,
): Promise<Decoder> {
  const handle = await callEngine((binding, control) =>
    binding.createCache(model.handle, starts.length, control),
  );
  let first = true;
  const decoder: Decoder = {
    async step(sequences) {
      const fresh = first ? sequences : sequences.map((ids) => ids.slice(-1));
      const from = first ? starts : starts.map(() => 0);
      first = false;
      return await forward(fresh, from, cache.value);
    },
    [Symbol.dispose]: () => cache.dispose(),
  };
  const cache = new OwnedHandle(decoder, handle, "the key/value cache");
  return decoder;
}

/** Rows of every item from position `from[item]` on. */
function rowsFrom(offsets: Int32Array, from: readonly number[]): Int32Array {
  const rows = from.flatMap((position, i) => {
    const start = (offsets[i] as number) + position;
    return Array.from({ length: (offsets[i + 1] as number) - start }, (_, k) => start + k);
  });
  return Int32Array.from(rows);
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
    `${maxTokens} new tokens do not fit: the context is ${model.spec.context} tokens, which leaves ${Math.max(0, room)}`,
  );
}

function checkEdits(edits: readonly HookEdit[]): void {
  for (const { hook, rows, op } of edits) {
    if (!rows && op !== "mean") continue;
    const what = rows ? "rows" : 'op "mean"';
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `${hook}: ${what} cannot be used while generating, because the batch changes with every token; use positions "all" or "end"`,
    );
  }
}
