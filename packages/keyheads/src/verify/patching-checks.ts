// Path patching, activation patching and knock-outs against the goldens, and every kind of sweep
// against the slow way of doing it: one forward pass with edits for each variant.
import type { FloatArray, SweepRequest } from "@keyheads/native";
import type { Positions } from "../attribution/options.ts";
import { runSweep } from "../attribution/sweep.ts";
import { part } from "../float-arrays.ts";
import { hooks } from "../hooks.ts";
import type { HookEdit } from "../model.ts";
import { Comparison } from "./comparison.ts";
import type { Check, CleanRun, VerifyContext } from "./context.ts";

interface Sender {
  readonly layer: number;
  /** -1 is the MLP. */
  readonly head: number;
}
type Freeze = SweepRequest["freeze"];

function heads({ model }: VerifyContext): Sender[] {
  const { layers, heads: count } = model.spec;
  return Array.from({ length: layers * count }, (_, i) => ({
    layer: Math.floor(i / count),
    head: i % count,
  }));
}
const mlps = ({ model }: VerifyContext): Sender[] =>
  Array.from({ length: model.spec.layers }, (_, layer) => ({ layer, head: -1 }));

/** Logits [variants, items, vocab] at the last position, by one sweep. */
async function sweep(
  context: VerifyContext,
  variants: readonly (readonly Sender[])[],
  freeze: Freeze,
  positions: Positions,
): Promise<FloatArray> {
  const { sequences } = await context.run("input_ids");
  const { z, mlp } = await context.run("cf.input_ids");
  const bank = positions === "all" ? { z, mlp } : { z: ends(context, z), mlp: ends(context, mlp) };
  const { variants: results } = await runSweep(
    context.model,
    { sequences, variants, bank, freeze, positions, readout: { logits: "all" } },
    context.call,
  );
  return results.logits as FloatArray;
}

/** [layers, tokens, width] to [layers, items, width]: the last token of each item. */
function ends({ model, tensors }: VerifyContext, values: FloatArray): FloatArray {
  const [items = 1, length = 1] = tensors.shape("input_ids");
  const width = values.length / (model.spec.layers * items * length);
  const rows = Array.from({ length: model.spec.layers * items }, (_, i) => (i + 1) * length - 1);
  const found = new Float64Array(rows.length * width);
  for (const [i, row] of rows.entries()) {
    found.set(values.subarray(row * width, (row + 1) * width), i * width);
  }
  return values instanceof Float64Array ? found : Float32Array.from(found);
}

const swept =
  (senders: (context: VerifyContext) => Sender[], freeze: Freeze, positions: Positions): Check =>
  async (context, name) => {
    const variants = senders(context).map((sender) => [sender]);
    const found = await sweep(context, variants, freeze, positions);
    return context.compare(name, found, await context.tensors.read(name));
  };

const knockOut =
  (replace: (values: FloatArray, context: VerifyContext) => FloatArray | undefined): Check =>
  async (context, name) => {
    const { sequences } = await context.run("input_ids");
    const counterfactual = await context.run("cf.input_ids");
    const comparison = new Comparison(context.tolerance(name));
    const expected = await context.tensors.read(name);
    const sets = context.goldens.settings.knock_out_sets;
    for (const [s, set] of sets.entries()) {
      const senders = [
        ...set.heads.map(([layer, head]) => ({ layer, head })),
        ...set.mlps.map((layer) => ({ layer, head: -1 })),
      ];
      const edits = senders.map((sender): HookEdit => {
        const value = replace(sentBy(context, counterfactual, sender), context);
        return { ...site(sender), ...(value ? { op: "set", value } : { op: "zero" }) };
      });
      comparison.add(
        await forward(context, sequences, edits),
        part(expected as FloatArray, s, sets.length),
      );
    }
    return comparison.outcome;
  };

/** At each position the mean over the sequences, for every sequence. */
function meanOverItems(values: FloatArray, { tensors }: VerifyContext): FloatArray {
  const [items = 1] = tensors.shape("input_ids");
  const size = values.length / items;
  return values.map((_, i) => {
    let sum = 0;
    for (let item = 0; item < items; ++item) sum += values[item * size + (i % size)] as number;
    return sum / items;
  });
}

/** Sweeps of every kind against naive forward passes, with sets of several senders among them. */
export const fastAgainstNaive: Check = async (context) => {
  const both = Math.max(context.tolerance("path.head"), context.tolerance("act.head"));
  const comparison = new Comparison(context.model.dtype === "f64" ? 1e-11 : both);
  const [first, ...rest] = heads(context);
  const set = [first as Sender, ...rest.slice(-2), ...mlps(context).slice(-1)];
  const variants = [...[...heads(context), ...mlps(context)].map((sender) => [sender]), set];
  for (const freeze of ["none", "attention", "attention+mlp"] as const) {
    for (const positions of ["end", "all"] as const) {
      const fast = await sweep(context, variants, freeze, positions);
      for (const [v, variant] of variants.entries()) {
        const slow = await naive(context, variant, freeze, positions);
        comparison.add(part(fast, v, variants.length), slow);
      }
    }
  }
  return comparison.outcome;
};

async function naive(
  context: VerifyContext,
  variant: readonly Sender[],
  freeze: Freeze,
  positions: Positions,
): Promise<FloatArray> {
  const reference = await context.run("input_ids");
  const counterfactual = await context.run("cf.input_ids");
  const frozen = [
    ...(freeze === "none" ? [] : heads(context)),
    ...(freeze === "attention+mlp" ? mlps(context) : []),
  ].map((sender): HookEdit => {
    return { ...site(sender), op: "set", value: sentBy(context, reference, sender) };
  });
  const { offsets } = context.model.pack(reference.sequences);
  const edits = variant.map((sender): HookEdit => {
    const all = sentBy(context, counterfactual, sender);
    if (positions === "all") return { ...site(sender), op: "set", value: all };
    const width = all.length / (offsets.at(-1) as number);
    const rows = [...offsets.subarray(1)].map((end) => end - 1);
    const value = new Float64Array(rows.length * width);
    for (const [i, row] of rows.entries()) {
      value.set(all.subarray(row * width, (row + 1) * width), i * width);
    }
    return { ...site(sender), positions, op: "set", value };
  });
  return await forward(context, reference.sequences, [...frozen, ...edits]);
}

const site = ({ layer, head }: Sender) =>
  head < 0 ? { hook: hooks.mlp_out_raw(layer) } : { hook: hooks.z(layer), head };

/** What a sender gave in a clean run, [tokens, width]. */
function sentBy({ model }: VerifyContext, run: CleanRun, { layer, head }: Sender): FloatArray {
  const { layers, heads: count, dHead } = model.spec;
  if (head < 0) return part(run.mlp, layer, layers);
  return part(run.z, layer, layers).filter((_, i) => Math.floor(i / dHead) % count === head);
}

async function forward(
  context: VerifyContext,
  sequences: readonly (readonly number[])[],
  edits: readonly HookEdit[],
): Promise<FloatArray> {
  const readout = { logits: "all" } as const;
  const { logits } = await context.model.forward({ sequences, edits, readout, ...context.call });
  return logits as FloatArray;
}

export const patchingChecks: Readonly<Record<string, Check>> = {
  "path.head": swept(heads, "attention", "end"),
  "path.mlp": swept(mlps, "attention", "end"),
  "act.head": swept(heads, "none", "all"),
  "act.head_last": swept(heads, "none", "end"),
  "act.mlp": swept(mlps, "none", "all"),
  "knock.zero": knockOut(() => undefined),
  "knock.mean": knockOut(meanOverItems),
};
