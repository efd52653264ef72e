// Random hooks: at any points, as data or functions of any kind, carried by the model or given to the
// run, on some heads, positions, items and columns, in forward runs and in generations with the
// key/value cache. The same is done plainly: every item alone, recomputed without a cache for every
// token, with one function on the whole value of a point. And after a function that throws, the model
// gives what it gave before.
import type { FloatArray } from "@keyheads/native";
import { expect } from "vitest";
import { headsOf, hooks, listHooks, parseHook } from "../../packages/keyheads/src/hooks.ts";
import type {
  HookFiring,
  HookFunction,
  Intervention,
} from "../../packages/keyheads/src/interventions.ts";
import type { GenerateOptions, Model } from "../../packages/keyheads/src/model.ts";
import { type EditValue, toIntervention } from "../../packages/keyheads/src/persistent-hooks.ts";
import type { SiteOptions } from "../../packages/keyheads/src/sites.ts";
import { type Rng, rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { bits } from "../engine/invariance.ts";

/** One hook: where it applies, how it is written down, and what it makes of a number. */
interface Drawn {
  readonly site: SiteOptions;
  readonly what: EditValue | HookFunction;
  /** Of a number x that stands at this position of its sequence. */
  readonly effect: (x: number, position: number) => number;
  /** By the model, not given to the run. */
  readonly carried: boolean;
}

/** Arrays that functions were given: all must be detached in the end. */
type Seen = FloatArray[];

// Masked scores are minus infinity and masked patterns zero, and must stay so; nothing divides by zero.
const onlyScaled = /(hook_attn_scores|hook_pattern|hook_scale|hook_expert_weights)$/;
const perHead = /hook_(attn_in|q_input|k_input|v_input)$/;
const beforeAttention = /\.ln1\./;

function ascending(random: Rng, count: number): number[] {
  const chosen = Array.from({ length: count }, (_, i) => i).filter(() => random.int(2) === 1);
  return chosen.length > 0 ? chosen : [random.int(count)];
}

function drawEffect(random: Rng, scaled: boolean, float: (x: number) => number, seen: Seen) {
  const by = (low: number) => float(low + random.next());
  const [factor, constant] = [by(0.5), scaled ? 0 : by(-0.5)];
  const data = (what: EditValue, effect: (x: number) => number) => ({ what, effect });
  switch (random.int(scaled ? 5 : 9)) {
    case 0:
      return data({ op: "scale", factor }, (x) => factor * x);
    case 5:
      return data({ op: "zero" }, () => 0);
    case 6:
      return data({ op: "set", value: constant }, () => constant);
    case 7:
      return data({ op: "add", value: constant }, (x) => x + constant);
    case 8:
      return data(
        { op: "interpolate", factor: 0.25, value: constant },
        (x) => (1 - 0.25) * x + 0.25 * constant,
      );
  }
  const reads = random.int(5) === 0;
  const narrow = random.int(4) === 0;
  const effect = (x: number, position: number) => {
    if (reads) return x;
    const made = factor * x + (scaled ? 0 : constant * Math.sin(position));
    return narrow ? Math.fround(made) : made;
  };
  const [inPlace, late] = [!narrow && random.int(2) === 0, random.int(3)];
  const run: HookFunction = (values, at) => {
    seen.push(values);
    if (reads && late === 0) return undefined;
    const made = eachPosition(at, values, effect);
    const result =
      inPlace || reads ? void values.set(made) : narrow ? Float32Array.from(made) : made;
    if (late === 0) return result;
    return late === 1 ? Promise.resolve(result) : soon(result);
  };
  return { what: run, effect };
}

const soon = (result: unknown) => new Promise((resolve) => setImmediate(() => resolve(result)));

/** New values, by the position of each number's row. */
function eachPosition(
  at: HookFiring,
  values: FloatArray,
  effect: (x: number, position: number) => number,
): FloatArray {
  const out = values.slice();
  const { offsets, positions } = at;
  if (/hook_(attn_scores|pattern)$/.test(at.name)) {
    let start = 0;
    for (let item = 0; item + 1 < offsets.length; ++item) {
      // [heads, query, key], or [query, key] of one head
      const { shape } = at.item(item);
      const [queries, keys] = shape.slice(-2) as [number, number];
      const size = shape.reduce((a, b) => a * b, 1);
      for (let i = 0; i < size; ++i) {
        const row = (offsets[item] as number) + (Math.floor(i / keys) % queries);
        out[start + i] = effect(values[start + i] as number, positions[row] as number);
      }
      start += size;
    }
    return out;
  }
  const width = values.length / positions.length;
  return out.map((x, i) => effect(x, positions[Math.floor(i / width)] as number));
}

function drawHook(model: Model, random: Rng, lengths: readonly number[], seen: Seen): Drawn {
  const { spec, dtype } = model;
  const points = listHooks(spec).filter((name) => parseHook(name, spec).info.rows !== "choice");
  const hook = points[random.int(points.length)] as string;
  const { info } = parseHook(hook, spec);
  const count = headsOf(info, spec);
  const heads = count > 0 && random.int(2) === 1 ? ascending(random, count) : undefined;
  const one = heads?.length === 1 && random.int(2) === 1;
  const where = random.int(3);
  const positions = where === 0 ? "all" : where === 1 ? "end" : undefined;
  const site = {
    ...{ hook, positions: positions ?? ascending(random, Math.min(...lengths)) },
    ...(heads && (one ? { head: heads[0] as number } : { heads })),
    ...(info.rows !== "pattern" && random.int(4) === 0 && { columns: [0] }),
    ...(random.int(3) === 0 && { items: ascending(random, lengths.length) }),
  };
  const float = dtype === "f32" ? Math.fround : (x: number) => x;
  const drawn = drawEffect(random, onlyScaled.test(hook), float, seen);
  return { site, ...drawn, carried: random.int(2) === 1 };
}

/** Hooks that one run can have together, in the order in which they apply. */
function drawHooks(model: Model, random: Rng, lengths: readonly number[], seen: Seen): Drawn[] {
  const count = 1 + random.int(4);
  const drawn = Array.from({ length: count }, () => drawHook(model, random, lengths, seen));
  const copies = drawn.some(({ site }) => perHead.test(site.hook));
  const some = copies ? drawn.filter(({ site }) => !beforeAttention.test(site.hook)) : drawn;
  return [...some.filter(({ carried }) => carried), ...some.filter(({ carried }) => !carried)];
}

/** What the hooks do to one item alone, whose prompt ends at position `end`. */
function plainly(drawn: readonly Drawn[], model: Model, item: number, end: number): Intervention[] {
  return drawn
    .filter(({ site }) => !site.items || site.items.includes(item))
    .map(({ site, effect }) => {
      const { hook, head, heads = head === undefined ? undefined : [head], columns } = site;
      const { info } = parseHook(hook, model.spec);
      const count = Math.max(1, headsOf(info, model.spec));
      const { positions = "all" } = site;
      const at = (p: number) =>
        positions === "all" || (positions === "end" ? p >= end : positions.includes(p));
      const run = (values: FloatArray, firing: HookFiring) => {
        const rows = firing.positions.length;
        const width = values.length / rows / count;
        for (let i = 0; i < values.length; ++i) {
          const outer = Math.floor(i / width);
          // [heads, rows, keys] or [rows, heads, width]
          const [row, h] =
            info.rows === "pattern"
              ? [outer % rows, Math.floor(outer / rows)]
              : [Math.floor(outer / count), outer % count];
          const position = firing.positions[row] as number;
          if (!at(position) || (heads && !heads.includes(h))) continue;
          if (columns && !columns.includes(i % width)) continue;
          values[i] = effect(values[i] as number, position);
        }
      };
      return { hook, run };
    });
}

function expectClose(found: ArrayLike<number>, want: ArrayLike<number>, what: string): void {
  expect(found.length, what).toBe(want.length);
  const size = Array.from(want).reduce((most, x) => Math.max(most, Math.abs(x)), 1e-3);
  for (let i = 0; i < want.length; ++i) {
    const [a, b] = [found[i] as number, want[i] as number];
    if (Object.is(a, b) || Math.abs(a - b) / size < 1e-8) continue;
    expect.fail(`${what}: ${a} at ${i} of ${want.length}, expected ${b}`);
  }
}

/** Final streams of every fed token, and the new tokens, of one item. */
interface Generated {
  readonly tokens: number[];
  readonly streams: number[];
}

/** Greedy, the whole sequence again for every token. */
async function plainGeneration(
  model: Model,
  prompt: readonly number[],
  edits: readonly Intervention[],
  { maxTokens = 0, stopIds = [] }: GenerateOptions,
): Promise<Generated> {
  const { layers, dModel } = model.spec;
  const captures = [{ hook: hooks.resid_post(layers - 1) }];
  const readout = { rows: "end", logits: "none", argmax: true } as const;
  const tokens: number[] = [];
  let streams: number[] = [];
  while (tokens.length < maxTokens && !stopIds.includes(tokens.at(-1) ?? -1)) {
    const sequences = [[...prompt, ...tokens]];
    const run = await model.forward({ sequences, captures, edits, readout });
    const rows = [...(run.captures[0] as FloatArray)];
    streams = [...streams, ...rows.slice(streams.length)];
    expect(streams).toHaveLength((sequences[0]?.length ?? 0) * dModel);
    tokens.push(run.argmax?.[0] as number);
  }
  return { tokens, streams };
}

/** What the model's own generation gives for every prompt. */
async function generation(
  model: Model,
  prompts: readonly number[][],
  options: GenerateOptions,
): Promise<Generated[]> {
  const { layers } = model.spec;
  const streams = prompts.map((): number[] => []);
  const tokens = await model.generateMany(prompts, {
    ...options,
    captures: [{ hook: hooks.resid_post(layers - 1) }],
    onStep: ({ captures: [kept] }) => {
      const { values, offsets = [] } = kept ?? {};
      let at = 0;
      const { dModel } = model.spec;
      for (const [i, streamOf] of streams.entries()) {
        const rows = (offsets[i + 1] as number) - (offsets[i] as number);
        for (let c = 0; c < rows * dModel; ++c) streamOf.push(values?.[at + c] as number);
        at += rows * dModel;
      }
    },
  });
  return tokens.map((one, i) => ({ tokens: one, streams: streams[i] as number[] }));
}

/** A hook at a point that every run passes, which fails in one of four ways. */
function failing(model: Model, random: Rng, error: unknown): Intervention {
  const hook = hooks.resid_post(random.int(model.spec.layers));
  const runs: HookFunction[] = [
    () => {
      throw error;
    },
    (values) => {
      values.fill(Number.NaN);
      throw error;
    },
    () => Promise.reject(error),
    async (values) => {
      values.fill(7);
      await soon(undefined);
      throw error;
    },
  ];
  return { hook, run: runs[random.int(runs.length)] as HookFunction };
}

/** Demands that random hooks do in a batch, and with a cache, what they do plainly. */
export async function expectHooks(model: Model, seed: number): Promise<string> {
  const random = rng(seed);
  const { vocab, context } = model.spec;
  const maxTokens = 5;
  const sequences = Array.from({ length: 1 + random.int(3) }, () =>
    Array.from({ length: 1 + random.int(Math.min(9, context - maxTokens)) }, () =>
      random.int(vocab),
    ),
  );
  const seen: Seen = [];
  const lengths = sequences.map(({ length }) => length);
  const drawn = drawHooks(model, random, lengths, seen);
  const what = `seed ${seed}: ${JSON.stringify(drawn.map(({ site, what: how }) => ({ ...site, ...how })))}`;
  const readout = { rows: "all", logits: "all" } as const;
  const logits = async (some: readonly number[][], edits: readonly Intervention[] = []) =>
    (await model.forward({ sequences: some, edits, readout })).logits as FloatArray;
  const stopIds = random.int(2) === 0 ? [] : Array.from({ length: 4 }, () => random.int(vocab));
  const untouched = await logits(sequences);
  const unhooked = await model.generateMany(sequences, { maxTokens, stopIds });
  const alone: { forward: number[]; generated: Generated }[] = [];
  for (const [i, prompt] of sequences.entries()) {
    const edits = plainly(drawn, model, i, prompt.length - 1);
    alone.push({
      forward: [...(await logits([prompt], edits))],
      generated: await plainGeneration(model, prompt, edits, { maxTokens, stopIds }),
    });
  }
  const given = drawn.filter(({ carried }) => !carried);
  const edits = given.map(({ site, what: how }) => toIntervention(site, how));
  for (const { site, what: how, carried } of drawn) if (carried) model.addHook(site, how);
  const count = model.hooks().length;
  // "end" of a run without steps is the last row alone, which is what it is in step 0.
  const together = await logits(sequences, edits);
  expectClose(
    together,
    alone.flatMap(({ forward }) => forward),
    `${what}: forward`,
  );
  const options = { maxTokens, stopIds, edits };
  for (const useCache of [true, false]) {
    const found = await generation(model, sequences, { ...options, useCache });
    for (const [i, { generated }] of alone.entries()) {
      const where = `${what}: ${useCache ? "cached" : "plain"} generation of item ${i}`;
      expect(found[i]?.tokens, where).toEqual(generated.tokens);
      expectClose(found[i]?.streams ?? [], generated.streams, where);
    }
  }
  const error = { seed };
  const broken = [...edits, failing(model, random, error)];
  const runs = [
    () => logits(sequences, broken),
    () => model.generateMany(sequences, { ...options, edits: broken }),
  ];
  for (const run of random.shuffle(runs)) {
    await expect(
      run().then(
        () => "resolved",
        (thrown) => thrown,
      ),
      `${what}: a hook that fails`,
    ).resolves.toBe(error);
    expect(model.hooks(), what).toHaveLength(count);
    expect(bits(await logits(sequences, edits)), `${what}: after a failure`).toBe(bits(together));
  }
  model.resetHooks();
  expect(
    seen.every(({ length }) => length === 0),
    `${what}: an array is not detached`,
  ).toBe(true);
  expect(bits(await logits(sequences)), `${what}: without hooks`).toBe(bits(untouched));
  const again = await model.generateMany(sequences, { maxTokens, stopIds });
  expect(again, `${what}: without hooks`).toEqual(unhooked);
  return `held with ${drawn.length} hooks`;
}
