// Malformed requests straight to the boundary: each must be answered, or rejected with a code.
import { type FloatArray, loadBinding } from "@keyheads/native";
import { callEngine } from "../../packages/keyheads/src/engine.ts";
import { KeyheadsError } from "../../packages/keyheads/src/errors.ts";
import { headsOf, listHooks, parseHook, widthOf } from "../../packages/keyheads/src/hooks.ts";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { type Rng, rng } from "../../packages/keyheads/src/statistics/rng.ts";

type Request = Record<string, unknown>;

const oddInts = [-1, 0, 1, 2, 3, 5, 8, 64, 1e6, 2 ** 31 - 1, -(2 ** 31)];
const pick = <T>(random: Rng, of: readonly T[]): T => of[random.int(of.length)] as T;
const floats = (random: Rng, length: number): FloatArray =>
  Float32Array.from({ length }, () => random.next());

/** What requests are made of. One in two is damaged, in few places. */
interface Source {
  readonly model: Model;
  readonly random: Rng;
  /** True now and then in a request that is to be damaged. */
  readonly odd: () => boolean;
}

/** Right numbers, but for an odd one. */
function ints({ random, odd }: Source, length: number, below: number): Int32Array {
  const values = Int32Array.from({ length }, () => random.int(Math.max(1, below)));
  if (length > 0 && odd()) values[random.int(length)] = pick(random, oddInts);
  return values;
}

function batch(source: Source): { tokens: Int32Array; offsets: Int32Array } {
  const { random, model, odd } = source;
  const offsets = new Int32Array(2 + random.int(4));
  for (let i = 1; i < offsets.length; ++i) {
    offsets[i] = (offsets[i - 1] as number) + 1 + random.int(12);
  }
  const tokens = ints(source, offsets.at(-1) as number, model.spec.vocab);
  if (odd()) offsets[random.int(offsets.length)] = pick(random, oddInts);
  return { tokens, offsets };
}

/** A site that the model has, and the number of values of one of its rows. */
function site(source: Source, rows: number): { site: Request; width: number; count: number } {
  const { random, model, odd } = source;
  const { info, layer } = parseHook(pick(random, listHooks(model.spec)), model.spec);
  const heads = headsOf(info, model.spec);
  const head = heads > 0 && random.int(2) === 1 ? random.int(heads) : -1;
  const some = Int32Array.from(new Set(ints(source, 1 + random.int(4), rows))).sort();
  const chosen = random.int(2) === 1 || odd();
  return {
    site: {
      hook: odd() ? pick(random, [...oddInts, random.int(40)]) : info.id,
      layer: odd() ? pick(random, [...oddInts, random.int(model.spec.layers)]) : layer,
      head: odd() ? pick(random, oddInts) : head,
      ...(chosen && { rows: odd() ? some.reverse() : some }),
    },
    width: widthOf(info, model.spec) * (head < 0 ? Math.max(1, heads) : 1),
    count: chosen ? some.length : rows,
  };
}

function edit(source: Source, rows: number): Request {
  const { random, odd } = source;
  const { site: where, width, count } = site(source, rows);
  const size = odd() ? random.int(400) : pick(random, [1, width, width * count]);
  return {
    ...where,
    op: odd() ? "other" : pick(random, ["zero", "set", "add", "scale", "mean", "interpolate"]),
    ...(!odd() && { value: floats(random, size) }),
    ...(!odd() && { factor: pick(random, [0.5, -2, odd() ? Number.NaN : 1]) }),
  };
}

const list = <T>(random: Rng, make: () => T): T[] =>
  Array.from({ length: random.int(3) }, () => make());

function readout(source: Source, rows: number): Request {
  const { random, model, odd } = source;
  const wanted = ints(source, random.int(5), rows);
  const logits = odd() ? "some" : pick(random, ["all", "tokens", "none"]);
  return {
    rows: wanted,
    logits,
    ...((logits === "tokens" || odd()) && {
      tokens: ints(source, wanted.length * (1 + random.int(3)), model.spec.vocab),
    }),
    argmax: true,
    logsumexp: random.int(2) === 1,
  };
}

function objective(source: Source, rows: number): Request {
  const { random, model, odd } = source;
  const count = 1 + random.int(4);
  const kind = odd() ? "none" : pick(random, ["cross-entropy", "logits"]);
  const width = kind === "logits" ? 1 + random.int(3) : 1;
  return {
    kind,
    rows: ints(source, count, rows),
    targets: ints(source, count * width, model.spec.vocab),
    weights: floats(random, odd() ? random.int(9) : count * width),
  };
}

const makers = {
  forward: (source: Source) => {
    const b = batch(source);
    const rows = b.tokens.length;
    return {
      batch: b,
      captures: list(source.random, () => site(source, rows).site),
      edits: list(source.random, () => edit(source, rows)),
      ...(source.random.int(2) === 1 && { readout: readout(source, rows) }),
    };
  },
  backward: (source: Source) => {
    const b = batch(source);
    const rows = b.tokens.length;
    return {
      batch: b,
      captures: list(source.random, () => site(source, rows).site),
      edits: list(source.random, () => edit(source, rows)),
      objective: objective(source, rows),
      gradients: list(source.random, () => site(source, rows).site),
    };
  },
  sweep: (source: Source) => {
    const { random, odd } = source;
    const b = batch(source);
    const rows = b.tokens.length;
    const values = list(random, () => floats(random, random.int(300)));
    const edits = list(random, () => ({
      ...edit(source, rows),
      ...(random.int(8) > 0 && {
        value: {
          index: odd() ? values.length : random.int(values.length + 1),
          offset: odd() ? -1 : random.int(9),
          row: random.int(7),
          head: random.int(3) - 1,
          column: random.int(3),
        },
      }),
    }));
    const variants = random.int(4);
    return {
      batch: b,
      values,
      edits,
      starts: odd()
        ? ints(source, variants + 1, 9)
        : Int32Array.from({ length: variants + 1 }, (_, i) => i),
      members: ints(source, variants, odd() ? 9 : edits.length),
      freeze: odd() ? "all" : pick(random, ["none", "attention", "attention+mlp"]),
      captures: list(random, () => site(source, rows).site),
      readout: readout(source, b.offsets.length - 1),
      ...(random.int(2) === 1 && { workBytes: odd() ? 0 : 1 + random.int(9000) }),
    };
  },
};

/** Makes request number `seed` and sends it. Resolves to the code of the refusal, or "ran". */
export async function runRequest(model: Model, seed: number): Promise<string> {
  const random = rng(seed);
  const call = pick(random, ["forward", "backward", "sweep"] as const);
  const damaged = random.int(2) === 1;
  const odd = () => damaged && random.int(12) === 0;
  const request: Request = makers[call]({ model, random, odd });
  if (odd()) delete request[pick(random, Object.keys(request))];
  try {
    // The boundary's types are what is violated here.
    const send = loadBinding()[call] as (...args: unknown[]) => Promise<unknown>;
    await callEngine((_, control) => send(model.handle, request, control));
    return "ran";
  } catch (error) {
    if (error instanceof KeyheadsError && error.code !== "INTERNAL") return error.code;
    throw error;
  }
}
