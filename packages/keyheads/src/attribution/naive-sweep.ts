// The slow twin of a sweep, which defines what it gives: one complete forward pass a variant, with
// what is frozen set before the variant's own edits.
import type { FloatArray, SweepReadings, SweepResult } from "@keyheads/native";
import { concatenate } from "../float-arrays.ts";
import { headsOf, hooks, widthOf } from "../hooks.ts";
import type {
  CallOptions,
  ForwardOutput,
  HookEdit,
  Model,
  StridedValue,
  SweepEdit,
  SweepOptions,
} from "../model.ts";
import { selectSite } from "../sites.ts";

/** What `model.sweep` gives. Progress counts variants. */
export async function naiveSweep(
  model: Model,
  options: SweepOptions,
  { signal, onProgress }: CallOptions = {},
): Promise<SweepResult> {
  const call: CallOptions = signal ? { signal } : {};
  const { sequences, variants, captures = [], readout } = options;
  const request = { sequences, captures, ...(readout && { readout }), ...call };
  const held = await heldEdits(model, options, call);
  const base = await model.forward(request);
  const runs: ForwardOutput[] = [];
  for (const variant of variants) {
    const edits = variant.map((edit) => plainEdit(model, sequences, edit));
    runs.push(
      variant.length > 0 ? await model.forward({ ...request, edits: [...held, ...edits] }) : base,
    );
    onProgress?.(runs.length, variants.length);
  }
  return { base, variants: joined(runs, captures.length) };
}

async function heldEdits(
  model: Model,
  { sequences, freeze = "none" }: SweepOptions,
  call: CallOptions,
): Promise<HookEdit[]> {
  if (freeze === "none") return [];
  const each = Array.from({ length: model.spec.layers }, (_, layer) => layer);
  const neurons = model.spec.experts > 0 ? hooks.mlp_out_raw : hooks.mlp_post;
  const points = [
    ...each.map((layer) => hooks.z(layer)),
    ...(freeze === "attention+mlp" ? each.map((layer) => neurons(layer)) : []),
  ];
  const { captures } = await model.forward({
    sequences,
    captures: points.map((hook) => ({ hook })),
    ...call,
  });
  return points.map((hook, i) => ({ hook, op: "set", value: captures[i] as FloatArray }));
}

function joined(runs: readonly ForwardOutput[], captures: number): SweepReadings {
  const all = <A>(of: (run: ForwardOutput) => A | undefined) =>
    runs.map(of).filter((array): array is A & {} => array !== undefined);
  const [logits, logsumexp, argmax] = [
    all((run) => run.logits),
    all((run) => run.logsumexp),
    all((run) => run.argmax),
  ];
  return {
    ...(logits.length > 0 && { logits: concatenate(logits) }),
    ...(logsumexp.length > 0 && { logsumexp: concatenate(logsumexp) }),
    ...(argmax.length > 0 && { argmax: Int32Array.from(argmax.flatMap((ids) => [...ids])) }),
    captures: Array.from({ length: captures }, (_, c) =>
      concatenate(all((run) => run.captures[c])),
    ),
  };
}

/** A strided value gathered into an array of its own. */
function plainEdit(model: Model, sequences: SweepOptions["sequences"], edit: SweepEdit): HookEdit {
  const { value, ...rest } = edit;
  if (typeof value === "object" && "array" in value) {
    return { ...rest, value: gathered(model, sequences, edit, value) };
  }
  return { ...rest, ...(value !== undefined && { value }) };
}

function gathered(
  model: Model,
  sequences: SweepOptions["sequences"],
  edit: SweepEdit,
  { array, offset, row, head = 0, column = 1 }: StridedValue,
): FloatArray {
  const batch = model.pack(sequences);
  const { site, point } = selectSite(edit, model.spec, batch);
  const total = Math.max(1, headsOf(point.info, model.spec));
  const heads = site.heads?.length ?? (site.head >= 0 ? 1 : total);
  const columns = site.columns?.length ?? widthOf(point.info, model.spec);
  const rows = site.rows?.length ?? batch.tokens.length;
  return Float64Array.from({ length: rows * heads * columns }, (_, i) => {
    const [c, h] = [i % columns, Math.floor(i / columns) % heads];
    const r = Math.floor(i / columns / heads);
    return array[offset + r * row + h * head + c * column] as number;
  });
}
