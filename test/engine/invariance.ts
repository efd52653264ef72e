// What every run must keep, bit for bit: an item's numbers do not depend on its batch, its order, the
// number of threads, or what ran before.
import { type FloatArray, loadBinding } from "@keyheads/native";
import { expect } from "vitest";
import { headsOf, hooks, listHooks, parseHook } from "../../packages/keyheads/src/hooks.ts";
import type { HookEdit, Model } from "../../packages/keyheads/src/model.ts";
import { type Rng, rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { selectSlices } from "../../packages/keyheads/src/tuning/selection.ts";

/** One, two, and more than this machine's processors are likely to have to spare. */
export const threadCounts = [1, 2, 5] as const;

interface Item {
  readonly ids: number[];
  readonly target: number;
  readonly weight: number;
}

/** Items of random lengths, one of them of a single token, some around the blocks of attention. */
export function randomItems(model: Model, random: Rng, count = 6): Item[] {
  const longest = Math.min(model.spec.context, 48);
  const id = () => random.int(model.spec.vocab);
  return Array.from({ length: count }, (_, i) => {
    const length = i === 0 ? 1 : 1 + random.int(i % 2 === 0 ? longest : Math.min(longest, 18));
    return {
      ids: Array.from({ length }, id),
      target: id(),
      weight: Math.fround(0.25 + random.next()),
    };
  });
}

/** An array of a run, and where each item begins in it; one longer than the items. */
interface Part {
  readonly name: string;
  readonly array: FloatArray;
  readonly starts: Int32Array;
}
type Run = readonly Part[];

// Where every head has a copy of the block's input, and so a norm, of its own, there is no ln1.
const perHead = /hook_(attn_in|q_input|k_input|v_input)$/;
const beforeAttention = /\.ln1\./;

/** All hook points, as groups that can be edited and differentiated in one run. */
function hookGroups(model: Model, edits: readonly HookEdit[]): string[][] {
  const names = listHooks(model.spec);
  const groups = [perHead, beforeAttention].filter(
    (others) => !edits.some(({ hook }) => others.test(hook)),
  );
  return groups.map((excluded) => names.filter((hook) => !excluded.test(hook)));
}

/** Points of whole numbers can only be read. */
const isWritable = (hook: string, { spec }: Model) => parseHook(hook, spec).info.rows !== "choice";

/** Captures and gradients at every hook point, and logits. */
export async function runAll(
  model: Model,
  items: readonly Item[],
  edits: readonly HookEdit[] = [],
): Promise<Run> {
  const sequences = items.map(({ ids }) => ids);
  const { offsets } = model.pack(sequences);
  const squares = new Int32Array(offsets.length);
  for (const [i, { ids }] of items.entries()) {
    squares[i + 1] = (squares[i] as number) + ids.length ** 2;
  }
  const startsOf = (hook: string) =>
    parseHook(hook, model.spec).info.rows === "pattern" ? squares : offsets;
  const parts: Part[] = [];
  const readout = { rows: "all", logits: "all", logsumexp: true } as const;
  const fused = await model.forward({ sequences, edits, readout });
  parts.push({ name: "logits", array: fused.logits as FloatArray, starts: offsets });
  parts.push({ name: "logsumexp", array: fused.logsumexp as FloatArray, starts: offsets });
  for (const names of hookGroups(model, edits)) {
    const sites = names.map((hook) => ({ hook }));
    const { captures, logits } = await model.forward({
      sequences,
      captures: sites,
      edits,
      readout,
    });
    expect(bits(logits), "captures changed the logits").toEqual(bits(fused.logits));
    const { objective, perItem } = objectiveOf(items, offsets);
    for (const [k, hook] of names.entries()) {
      parts.push({ name: hook, array: captures[k] as FloatArray, starts: startsOf(hook) });
    }
    const differentiable = names.filter((hook) => isWritable(hook, model));
    const gradients = differentiable.map((hook) => ({ hook }));
    const back = await model.backward({ sequences, edits, gradients, objective });
    parts.push({ name: "loss", array: back.perRow, starts: perItem });
    for (const [k, hook] of differentiable.entries()) {
      const name = `gradient at ${hook} with ${names.length} others`;
      parts.push({ name, array: back.gradients[k] as FloatArray, starts: startsOf(hook) });
    }
  }
  return parts;
}

/** Cross entropy at the end, and where there is one at the second row, of every item. */
function objectiveOf(items: readonly Item[], offsets: Int32Array) {
  const terms = items.flatMap(({ ids, target, weight }, i) => {
    const start = offsets[i] as number;
    const last = start + ids.length - 1;
    return (ids.length > 2 ? [start + 1, last] : [last]).map((row) => ({ row, target, weight }));
  });
  const objective = {
    kind: "cross-entropy" as const,
    rows: Int32Array.from(terms, ({ row }) => row),
    targets: Int32Array.from(terms, ({ target }) => target),
    weights: Float32Array.from(terms, ({ weight }) => weight),
  };
  const perItem = offsets.map((end) => terms.filter(({ row }) => row < end).length);
  return { objective, perItem };
}

export function bits(array: FloatArray | undefined): string {
  if (!array) throw new Error("the run gave no such array");
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("base64");
}

/** What belongs to item i of a run, as bits, by name. */
function itemBits(run: Run, i: number): Record<string, string> {
  return Object.fromEntries(
    run.map(({ name, array, starts }) => {
      const unit = array.length / (starts.at(-1) as number);
      const part = array.subarray((starts[i] as number) * unit, (starts[i + 1] as number) * unit);
      return [name, bits(part)];
    }),
  );
}

function differing(a: Record<string, string>, b: Record<string, string>): string[] {
  return Object.keys(a).filter((name) => a[name] !== b[name]);
}

/** Runs that have nothing to do with the ones that are compared. */
async function somethingElse(model: Model, random: Rng): Promise<void> {
  const sequences = randomItems(model, random, 3).map(({ ids }) => ids);
  const hook = "hook_embed";
  await model.forward({
    sequences,
    captures: [{ hook }],
    edits: [{ hook, op: "scale", factor: 3 }],
    readout: { logits: "all" },
  });
}

/** Items together, in random groups and orders, for every number of threads. */
export async function expectItemsIndependent(
  model: Model,
  seed: number,
  edits: readonly HookEdit[] = [],
): Promise<void> {
  const random = rng(seed);
  const items = randomItems(model, random);
  loadBinding().setThreads(1);
  const together = await runAll(model, items, edits);
  for (const threads of threadCounts) {
    loadBinding().setThreads(threads);
    const order = random.shuffle([...items.keys()]);
    if (random.int(2) === 1) await somethingElse(model, random);
    while (order.length > 0) {
      const group = order.splice(0, 1 + random.int(order.length));
      const run = await runAll(
        model,
        group.map((i) => items[i] as Item),
        edits,
      );
      for (const [at, i] of group.entries()) {
        const what = `item ${i} in a batch of ${group.length}, ${threads} threads, seed ${seed}`;
        expect(differing(itemBits(run, at), itemBits(together, i)), what).toEqual([]);
      }
    }
  }
}

/** Gradients of every weight, for every number of threads. */
export async function expectWeightGradients(model: Model, seed: number): Promise<void> {
  const items = randomItems(model, rng(seed));
  const sequences = items.map(({ ids }) => ids);
  const { objective } = objectiveOf(items, model.pack(sequences).offsets);
  const slices = selectSlices(model, { everything: true });
  const found: string[][] = [];
  for (const threads of threadCounts) {
    loadBinding().setThreads(threads);
    if (threads > 1) await somethingElse(model, rng(seed + threads));
    using trainer = await model.createTrainer(slices);
    await trainer.accumulate({ sequences, objective });
    const { gradients } = await trainer.read();
    expect(gradients.some((g) => g.some((x) => x !== 0))).toBe(true);
    found.push(gradients.map(bits));
  }
  for (const each of found) expect(each, `seed ${seed}`).toEqual(found[0]);
}

/** Tokens with a cache, without, alone and in a batch; greedy and sampled. */
export async function expectGeneration(model: Model, seed: number): Promise<void> {
  const random = rng(seed);
  const maxTokens = 6;
  const prompts = randomItems(model, random, 4).map(({ ids }) =>
    ids.slice(0, Math.max(1, model.spec.context - maxTokens)),
  );
  for (const temperature of [0, 1.5]) {
    const all = { maxTokens, temperature, seed };
    const batch = await model.generateMany(prompts, all);
    expect(batch, `seed ${seed}`).toEqual(
      await model.generateMany(prompts, { ...all, useCache: false }),
    );
    for (const [i, prompt] of prompts.entries()) {
      loadBinding().setThreads(threadCounts[i % threadCounts.length] as number);
      const own = { maxTokens, temperature, seed: seed + i };
      const alone = await model.generate(prompt, own);
      expect(alone, `prompt ${i} alone, seed ${seed}`).toEqual(batch[i]);
      const slow = await model.generate(prompt, { ...own, useCache: false });
      expect(slow, `prompt ${i} alone, without cache, seed ${seed}`).toEqual(batch[i]);
    }
  }
}

/** Swept variants of an item, alone and in a batch. */
export async function expectSweeps(model: Model, seed: number): Promise<void> {
  const random = rng(seed);
  const items = randomItems(model, random);
  const { layers, heads, vocab } = model.spec;
  const variants = 7;
  const readout = { logits: "all" as const };
  const senders = Array.from({ length: variants }, () => {
    const [layer, head] = [random.int(layers), random.int(heads + 1) - 1];
    return head < 0 ? { hook: hooks.mlp_out_raw(layer) } : { hook: hooks.z(layer), head };
  });
  for (const freeze of ["none", "attention", "attention+mlp"] as const) {
    for (const positions of ["end", "all"] as const) {
      const sweep = async (some: readonly Item[], threads: number) => {
        loadBinding().setThreads(threads);
        const sequences = some.map(({ ids }) => ids);
        const edits = senders.map((sender) => [{ ...sender, positions, op: "zero" as const }]);
        const options = { sequences, variants: edits, freeze, readout };
        const { variants: out } = await model.sweep(options);
        const logits = out.logits as FloatArray;
        return some.map((_, i) =>
          Array.from({ length: variants }, (_, v) => {
            const start = (v * some.length + i) * vocab;
            return bits(logits.subarray(start, start + vocab));
          }),
        );
      };
      const together = await sweep(items, 1);
      const order = random.shuffle([...items.keys()]);
      const shuffled = await sweep(
        order.map((i) => items[i] as Item),
        2,
      );
      const what = `${freeze}, ${positions}, seed ${seed}`;
      for (const [at, i] of order.entries()) {
        expect(shuffled[at], `item ${i} shuffled, ${what}`).toEqual(together[i]);
        const [alone] = await sweep([items[i] as Item], threadCounts[i % 3] as number);
        expect(alone, `item ${i} alone, ${what}`).toEqual(together[i]);
      }
    }
  }
}

/** Edits that leave items apart and can be combined: at random points and heads, of every row. */
export function randomEdits(model: Model, random: Rng): HookEdit[] {
  const [first, second] = [randomEdit(model, random), randomEdit(model, random)];
  const both = (a: RegExp, b: RegExp) => a.test(first.hook) && b.test(second.hook);
  const apart = both(perHead, beforeAttention) || both(beforeAttention, perHead);
  return apart ? [first] : [first, second];
}

function randomEdit(model: Model, random: Rng): HookEdit {
  const names = listHooks(model.spec).filter((name) => isWritable(name, model));
  const hook = names[random.int(names.length)] as string;
  const { info } = parseHook(hook, model.spec);
  const heads = headsOf(info, model.spec);
  const head = heads > 0 && random.int(2) === 1 ? { head: random.int(heads) } : {};
  const op = info.rows === "pattern" || random.int(2) === 1 ? "scale" : "interpolate";
  return op === "scale"
    ? { hook, ...head, op, factor: 0.5 + random.next() }
    : { hook, ...head, op, factor: 0.3, value: random.next() };
}
