// Random variants of random batches: any hook, heads, columns, rows and operation, in what freezing
// leaves to be changed and read.
import type { SweepRequest } from "@keyheads/native";
import { headsOf, listHooks, parseHook, widthOf } from "../../packages/keyheads/src/hooks.ts";
import type {
  Model,
  SiteOptions,
  SweepEdit,
  SweepOptions,
} from "../../packages/keyheads/src/model.ts";
import { selectSite } from "../../packages/keyheads/src/sites.ts";
import type { Rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { ids } from "./fixtures.ts";

type Freeze = SweepRequest["freeze"];

const ofAttention = /ln1\.|attn\.hook_(q|k|v|rot_q|rot_k|attn_scores|pattern)$/;
const attentionInputs = /hook_(attn_in|q_input|k_input|v_input)$/;
const ofMlp = /ln2\.|mlp\.hook_(pre|pre_linear|expert_weights|expert_indices)$|mlp\.experts\./;

function hookNames(model: Model, freeze: Freeze, edited: boolean): string[] {
  const names = listHooks(model.spec);
  const readable = edited ? names.filter((name) => !/expert_indices$/.test(name)) : names;
  return readable.filter(
    (name) =>
      freeze === "none" ||
      !(
        ofAttention.test(name) ||
        (edited && attentionInputs.test(name)) ||
        (freeze === "attention+mlp" && (ofMlp.test(name) || (edited && /hook_mlp_in$/.test(name))))
      ),
  );
}

export function randomSweep(model: Model, freeze: Freeze, random: Rng): SweepOptions {
  const lengths = Array.from({ length: 1 + random.int(3) }, () => 1 + random.int(7));
  const sequences = lengths.map((n, i) => ids(n, model.spec.vocab, i + 1 + random.int(50)));
  const edit = () => randomEdit(model, freeze, sequences, random);
  const variants = Array.from({ length: 5 }, () => {
    const edits = Array.from({ length: random.int(4) }, edit);
    // A forward pass takes no norm of all heads beside values of single heads.
    const split = edits.some(({ hook }) => attentionInputs.test(hook));
    return split ? edits.filter(({ hook }) => !/\.ln1\./.test(hook)) : edits;
  });
  const reads = random.int(3);
  const split = variants.flat().some(({ hook }) => attentionInputs.test(hook));
  const names = hookNames(model, freeze, false).filter((name) => !(split && /\.ln1\./.test(name)));
  return {
    sequences,
    variants: [...variants, [...(variants[0] ?? []), ...(variants[1] ?? [])].filter(dropNorms)],
    freeze,
    captures: Array.from({ length: reads === 0 ? 0 : 1 + random.int(3) }, () =>
      randomSite(model, names, sequences, random),
    ),
    ...(reads < 2 && { readout: { logits: "all", argmax: true, logsumexp: true } }),
    ...(random.int(2) === 0 && { workBytes: 1 + random.int(20_000) }),
  };
  function dropNorms({ hook }: SweepEdit) {
    return !/\.ln1\./.test(hook) || !split;
  }
}

function randomSite(
  model: Model,
  names: readonly string[],
  sequences: SweepOptions["sequences"],
  random: Rng,
): SiteOptions {
  const hook = names[random.int(names.length)] as string;
  const { info } = parseHook(hook, model.spec);
  const heads = headsOf(info, model.spec);
  const width = widthOf(info, model.spec);
  const some = (count: number) => {
    const chosen = Array.from({ length: count }, (_, i) => i).filter(() => random.int(2) === 1);
    return chosen.length > 0 ? chosen : [random.int(count)];
  };
  const items = some(sequences.length);
  const shortest = Math.min(...items.map((i) => (sequences[i] as readonly number[]).length));
  const where = [
    {},
    { positions: "end" as const },
    { items },
    { items, positions: some(shortest) },
    { items, positions: "end" as const },
  ][random.int(5)];
  return {
    hook,
    ...where,
    ...(heads > 0 && [{}, { head: random.int(heads) }, { heads: some(heads) }][random.int(3)]),
    ...(width > 1 && random.int(3) === 0 && { columns: some(width) }),
  };
}

function randomEdit(
  model: Model,
  freeze: Freeze,
  sequences: SweepOptions["sequences"],
  random: Rng,
): SweepEdit {
  const site = randomSite(model, hookNames(model, freeze, true), sequences, random);
  const { info } = parseHook(site.hook, model.spec);
  const pattern = info.rows === "pattern";
  const ops = ["zero", "scale", "set", "add", "interpolate", ...(pattern ? [] : ["mean" as const])];
  const op = ops[random.int(ops.length)] as SweepEdit["op"];
  // Half of a score or a norm's scale keeps what follows finite.
  const factor = 0.5 + random.next();
  if (op === "zero" && /scale$/.test(site.hook)) return { ...site, op: "scale", factor };
  if (op === "zero" || op === "mean") return { ...site, op };
  if (op === "scale") return { ...site, op, factor };
  const given = { ...site, op, ...(op === "interpolate" && { factor: random.next() }) };
  return { ...given, value: randomValue(model, site, sequences, random) };
}

function randomValue(
  model: Model,
  site: SiteOptions,
  sequences: SweepOptions["sequences"],
  random: Rng,
): NonNullable<SweepEdit["value"]> {
  const batch = model.pack(sequences);
  const { site: selected, point } = selectSite(site, model.spec, batch);
  const noise = (length: number) => Float64Array.from({ length }, () => 0.2 + random.next());
  if (point.info.rows === "pattern") return 0.2 + random.next();
  const count = Math.max(1, headsOf(point.info, model.spec));
  const heads = selected.heads?.length ?? (selected.head >= 0 ? 1 : count);
  const columns = selected.columns?.length ?? widthOf(point.info, model.spec);
  const rows = selected.rows?.length ?? batch.tokens.length;
  switch (random.int(4)) {
    case 0:
      return 0.2 + random.next();
    case 1:
      return noise(heads * columns);
    case 2:
      return noise(rows * heads * columns);
  }
  // Part of a larger array; every head the same numbers, or every other number.
  const [head, column] = random.int(2) === 0 ? [0, 1] : [2 * columns, 2];
  const row = heads * columns * 2 + 1;
  return { array: noise(3 + rows * row), offset: 3, row, head, column };
}
