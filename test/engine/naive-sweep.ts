// The slow twin of a sweep: one complete forward pass a variant, with what is frozen set first.
import type { FloatArray } from "@keyheads/native";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import type {
  ForwardOutput,
  HookEdit,
  Model,
  StridedValue,
  SweepEdit,
  SweepOptions,
} from "../../packages/keyheads/src/model.ts";
import { selectSite } from "../../packages/keyheads/src/sites.ts";

/** What forward gives for every variant, the unedited run first. */
export async function naiveSweep(model: Model, options: SweepOptions): Promise<ForwardOutput[]> {
  const { sequences, variants, freeze = "none", captures = [], readout } = options;
  const held = freeze === "none" ? [] : await frozenEdits(model, options);
  const runs = [];
  for (const variant of [[], ...variants]) {
    const edits = variant.map((edit) => plainEdit(model, sequences, edit));
    const request = { sequences, captures, edits: variant.length > 0 ? [...held, ...edits] : [] };
    runs.push(await model.forward({ ...request, ...(readout && { readout }) }));
  }
  return runs;
}

async function frozenEdits(model: Model, { sequences, freeze }: SweepOptions): Promise<HookEdit[]> {
  const each = Array.from({ length: model.spec.layers }, (_, layer) => layer);
  const neurons = model.spec.experts > 0 ? hooks.mlp_out_raw : hooks.mlp_post;
  const points = [
    ...each.map((layer) => hooks.z(layer)),
    ...(freeze === "attention+mlp" ? each.map((layer) => neurons(layer)) : []),
  ];
  const { captures } = await model.forward({
    sequences,
    captures: points.map((hook) => ({ hook })),
  });
  return points.map((hook, i) => ({ hook, op: "set", value: captures[i] as FloatArray }));
}

/** Strided values gathered into arrays of their own. */
function plainEdit(model: Model, sequences: SweepOptions["sequences"], edit: SweepEdit): HookEdit {
  const { value, ...rest } = edit;
  if (typeof value !== "object" || !("array" in value)) {
    return { ...rest, ...(value !== undefined && { value }) };
  }
  return { ...rest, value: gathered(model, sequences, edit, value) };
}

function gathered(
  model: Model,
  sequences: SweepOptions["sequences"],
  edit: SweepEdit,
  { array, offset, row, head = 0, column = 1 }: StridedValue,
): Float64Array {
  const batch = model.pack(sequences);
  const { site, point } = selectSite(edit, model.spec, batch);
  const { dHead, dModel, dMlp, experts, heads, kvHeads } = model.spec;
  const width = { one: 1, d_model: dModel, d_head: dHead, d_mlp: dMlp, experts, key: 0 };
  const all = { none: 1, query: heads, kv: kvHeads }[point.info.heads];
  const headCount = site.heads?.length ?? (site.head >= 0 ? 1 : all);
  const columns = site.columns?.length ?? width[point.info.width];
  const rows = site.rows?.length ?? batch.tokens.length;
  return Float64Array.from({ length: rows * headCount * columns }, (_, i) => {
    const [c, h] = [i % columns, Math.floor(i / columns) % headCount];
    const r = Math.floor(i / columns / headCount);
    return array[offset + r * row + h * head + c * column] as number;
  });
}
