// Path patching into receivers, as Wang et al. 2022 (appendix B) do it: 1. in the run of X_r with
// attention frozen, a sender's value becomes that of X_c, and what the receivers read is recorded;
// 2. the run of X_r with only the receivers' inputs overwritten by that; everything downstream of them
// is recomputed.
import type { FloatArray, ReadoutResult, SweepRequest, SweepResult } from "@keyheads/native";
import { hooks } from "../../hooks.ts";
import type { CallOptions, Model, SiteOptions, SweepEdit, SweepOptions } from "../../model.ts";
import { naiveSweep } from "../naive-sweep.ts";
import type { Pair } from "../pairs.ts";
import { pairReadout, readingOf } from "../reading.ts";
import { type HeadInput, type Receiver, Recorded, recordSites } from "./receivers.ts";
import { type At, Replacement, type Unit } from "./unit.ts";

export interface PathSweep {
  readonly senders: readonly Unit[];
  readonly receivers: readonly Receiver[];
  /** Where senders and receivers are replaced. */
  readonly at: At;
  readonly freeze: Exclude<SweepRequest["freeze"], "none">;
  /** With grouped queries, keys and values change for all heads of a group. */
  readonly wholeGroups: boolean;
  readonly logsumexp: boolean;
  /** One forward pass a variant, which defines what the sweep gives. */
  readonly naive: boolean;
}

type Run = (options: SweepOptions, call: CallOptions) => Promise<SweepResult>;

/** Bytes of what is recorded at a time, of so many senders. */
const mostBytes = 64 * 2 ** 20;

/** Readings [senders][items, ...] at END. */
export async function patchInto(
  model: Model,
  pairs: readonly Pair[],
  sweep: PathSweep,
  { signal, onProgress }: CallOptions,
): Promise<ReadoutResult[]> {
  const { senders, at } = sweep;
  const call: CallOptions = signal ? { signal } : {};
  const replacement = await Replacement.of(model, pairs, senders, at, call);
  const size = recordedBytes(model, pairs, sweep);
  const step = Math.max(1, Math.floor(mostBytes / size));
  const results: ReadoutResult[] = [];
  for (let start = 0; start < senders.length; start += step) {
    const some = senders.slice(start, start + step);
    const edits = some.map((sender) => replacement.edits(sender));
    results.push(...(await patchSome(model, pairs, sweep, edits, call)));
    onProgress?.(start + some.length, senders.length);
  }
  return results;
}

function recordedBytes(model: Model, pairs: readonly Pair[], { receivers, at }: PathSweep): number {
  const sites = recordSites(receivers, model.spec, at).length;
  const rows = pairs.reduce(
    (sum, { reference }) => sum + (at === "end" ? 1 : at === "all" ? reference.length : at.length),
    0,
  );
  return sites * rows * model.spec.dModel * (model.dtype === "f64" ? 8 : 4);
}

async function patchSome(
  model: Model,
  pairs: readonly Pair[],
  sweep: PathSweep,
  senders: readonly SweepEdit[][],
  call: CallOptions,
): Promise<ReadoutResult[]> {
  const { receivers, at, freeze, logsumexp, naive } = sweep;
  const sequences = pairs.map((pair) => pair.reference);
  const run: Run = (options, how) =>
    naive ? naiveSweep(model, options, how) : model.sweep(options, how);

  const captures = recordSites(receivers, model.spec, at);
  const recording = await run({ sequences, variants: senders, freeze, captures }, call);
  const recorded = new Recorded(
    captures,
    recording.variants.captures,
    senders.length,
    model.spec,
    at,
  );
  const variants = await overwrite(model, sequences, sweep, recorded, senders.length, run, call);
  const readout = pairReadout(pairs, logsumexp);
  const { variants: patched } = await run({ sequences, variants, freeze: "none", readout }, call);
  return senders.map((_, v) => readingOf(patched, v, pairs.length));
}

/** Edits of every variant that give the receivers what was recorded. */
async function overwrite(
  model: Model,
  sequences: SweepOptions["sequences"],
  { receivers, wholeGroups }: PathSweep,
  recorded: Recorded,
  count: number,
  run: Run,
  call: CallOptions,
): Promise<SweepEdit[][]> {
  const { heads, kvHeads } = model.spec;
  const share = heads / kvHeads;
  const variants: SweepEdit[][] = Array.from({ length: count }, () => []);
  const add = (edit: (variant: number) => SweepEdit) =>
    variants.forEach((edits, v) => void edits.push(edit(v)));
  for (const receiver of receivers) {
    if (!("head" in receiver)) add((v) => recorded.set(receiver, v));
  }
  const inputs = receivers.filter((receiver): receiver is HeadInput => "head" in receiver);
  const layers = [...new Set(inputs.map(({ layer }) => layer))].sort((a, b) => a - b);
  for (const layer of layers) {
    const named = (input: HeadInput["input"]) =>
      inputs.filter((one) => one.layer === layer && one.input === input).map(({ head }) => head);
    const inputsHere = { q: named("q"), k: named("k"), v: named("v") };
    const copies = share > 1 && !wholeGroups && inputsHere.k.length + inputsHere.v.length > 0;
    if (copies) {
      const settings = { sequences, layer, inputs: inputsHere, recorded, run, call };
      await addCopies(model, settings, variants);
      continue;
    }
    for (const input of ["q", "k", "v"] as const) {
      const own = inputsHere[input];
      if (own.length === 0) continue;
      const which = input === "q" ? own : own.map((head) => Math.floor(head / share));
      add((v) => recorded.setHeads(input, layer, which, v));
    }
  }
  return variants;
}

interface CopySettings {
  readonly sequences: SweepOptions["sequences"];
  readonly layer: number;
  readonly inputs: Readonly<Record<HeadInput["input"], readonly number[]>>;
  readonly recorded: Recorded;
  readonly run: Run;
  readonly call: CallOptions;
}

/**
 * Heads that share keys or values, of which only some receive: z of these is taken from runs in which
 * their whole groups receive, and set while the other heads of the groups stay as they are.
 */
async function addCopies(
  model: Model,
  { sequences, layer, inputs, recorded, run, call }: CopySettings,
  variants: SweepEdit[][],
): Promise<void> {
  const { heads, kvHeads, dHead } = model.spec;
  const share = heads / kvHeads;
  const { q, k, v: values } = inputs;
  const alike = new Map<string, number[]>();
  for (const head of [...new Set([...k, ...values])].sort((a, b) => a - b)) {
    const what = `${k.includes(head) ? "k" : ""}${values.includes(head) ? "v" : ""}`;
    alike.set(what, [...(alike.get(what) ?? []), head]);
  }
  const plain = q.filter((head) => ![...alike.values()].flat().includes(head));
  const more: SweepEdit[][] = variants.map((_, v) =>
    plain.length > 0 ? [recorded.setHeads("q", layer, plain, v)] : [],
  );
  for (const [what, some] of alike) {
    const groups = some.map((head) => Math.floor(head / share));
    const asked = some.filter((head) => q.includes(head));
    const runs = variants.map((edits, v) => [
      ...edits,
      ...(asked.length > 0 ? [recorded.setHeads("q", layer, asked, v)] : []),
      ...(["k", "v"] as const)
        .filter((input) => what.includes(input))
        .map((input) => recorded.setHeads(input, layer, groups, v)),
    ]);
    const site: SiteOptions = { hook: hooks.z(layer), heads: some };
    const { variants: found } = await run(
      { sequences, variants: runs, freeze: "none", captures: [site] },
      call,
    );
    const array = found.captures[0] as FloatArray;
    const size = array.length / variants.length;
    more.forEach((edits, v) => {
      const value = { array, offset: v * size, row: some.length * dHead, head: dHead };
      edits.push({ ...site, op: "set", value });
    });
  }
  variants.forEach((edits, v) => void edits.push(...(more[v] as SweepEdit[])));
}
