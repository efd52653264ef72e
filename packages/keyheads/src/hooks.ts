// Names of hook points, generated from the table that the engine was built with. The strings are
// TransformerLens v2's ("blocks.3.attn.hook_z"), and v3's are understood ("blocks.3.attn.o.hook_in");
// a name that this model does not have is an error, because a hook that silently does nothing is the
// field's oldest trap.
import { hookAliases, hookTable, type ModelSpec } from "@keyheads/native";
import { KeyheadsError } from "./errors.ts";

type Table = typeof hookTable;
/** Short name of a hook point, the key of `hooks`: "z", "resid_pre", ... */
export type HookId = keyof Table;
export type HookInfo = Table[HookId];
type Constructor<K extends HookId> = Table[K]["per"] extends "layer"
  ? (layer: number) => string
  : () => string;

/**
 * One function a hook point: `hooks.z(3)` is "blocks.3.attn.hook_z", `hooks.embed()` is
 * "hook_embed". Layers count from 0.
 */
export const hooks: { readonly [K in HookId]: Constructor<K> } = Object.fromEntries(
  Object.entries(hookTable).map(([id, info]) => [
    id,
    info.per === "layer"
      ? (layer: number) => info.name.replace("{i}", String(layer))
      : () => info.name,
  ]),
) as { readonly [K in HookId]: Constructor<K> };

/** A hook point of one model. `layer` is -1 for points of the whole model. */
export interface HookPoint {
  readonly id: HookId;
  readonly info: HookInfo;
  readonly layer: number;
  /** The name of the table, whichever was asked for, with the expert where that was. */
  readonly name: string;
  /** The expert that the name says: "blocks.0.mlp.experts.3.hook_pre". */
  readonly head?: number;
}

const byName = new Map(Object.entries(hookTable).map(([id, info]) => [info.name as string, id]));

/** Models in which an alias means what the table says. */
const holds = {
  gated: (spec: ModelSpec) => spec.gated,
  plain: (spec: ModelSpec) => !spec.gated,
  prenorm: (spec: ModelSpec) => spec.normPlacement !== "post",
  postnorm: (spec: ModelSpec) => spec.normPlacement !== "pre",
  no_postnorm: (spec: ModelSpec) => spec.normPlacement === "pre",
};

function aliased(name: string, spec: ModelSpec): string | undefined {
  return hookAliases.find(
    (alias) => alias.name === name && (!("only" in alias) || holds[alias.only](spec)),
  )?.id;
}

/**
 * Finds a hook by its full name, or by TransformerLens v3's. Throws UNKNOWN_HOOK with near names,
 * or why this model lacks it.
 */
export function parseHook(name: string, spec: ModelSpec): HookPoint {
  const match = /^blocks\.(\d+)\.(.*)$/.exec(name);
  const layer = match ? Number(match[1]) : -1;
  const expert = /^mlp\.experts\.(\d+)\./.exec(match?.[2] ?? "")?.[1];
  const local = expert === undefined ? match?.[2] : match?.[2]?.replace(`.${expert}`, "");
  const general = match ? `blocks.{i}.${local}` : name;
  const id = (byName.get(general) ?? aliased(general, spec)) as HookId | undefined;
  if (id === undefined) throw unknownHook(name, spec);
  if (layer >= spec.layers) {
    throw new KeyheadsError(
      "UNKNOWN_HOOK",
      `${name}: there is no layer ${layer}; this model has layers 0 to ${spec.layers - 1}`,
    );
  }
  const absent = whyAbsent(id, spec);
  if (absent) throw new KeyheadsError("UNKNOWN_HOOK", `${name} does not exist here: ${absent}`);
  const point = { id, info: hookTable[id], layer, name: hooks[id](layer) };
  if (expert === undefined) return point;
  if (Number(expert) >= spec.experts) {
    throw new KeyheadsError(
      "UNKNOWN_HOOK",
      `${name}: there is no expert ${expert}; this model has experts 0 to ${spec.experts - 1}`,
    );
  }
  const of = point.name.replace(".experts.", `.experts.${expert}.`);
  return { ...point, name: of, head: Number(expert) };
}

/** Every hook point of a model, by full name. */
export function listHooks(spec: ModelSpec): string[] {
  const ids = (Object.keys(hookTable) as HookId[]).filter((id) => !whyAbsent(id, spec));
  return ids.flatMap((id) =>
    hookTable[id].per === "layer"
      ? Array.from({ length: spec.layers }, (_, layer) => hooks[id](layer))
      : [hookTable[id].name],
  );
}

/** How many heads, groups or experts the hook can be restricted to; 0 if it has none. */
export function headsOf(info: HookInfo, spec: ModelSpec): number {
  return { none: 0, query: spec.heads, kv: spec.kvHeads, expert: spec.experts }[info.heads];
}

/** Entries per row (and head) of the hook's tensor; 0 for patterns, whose width is the item's. */
export function widthOf(info: HookInfo, spec: ModelSpec): number {
  const { dModel, dHead, dMlp, experts, expertsPerToken: chosen } = spec;
  return { one: 1, d_model: dModel, d_head: dHead, d_mlp: dMlp, experts, chosen, key: 0 }[
    info.width
  ];
}

function whyAbsent(id: HookId, spec: ModelSpec): string | undefined {
  const { when } = hookTable[id];
  const dense = spec.experts === 0;
  const [exists, why] = {
    always: [true, ""],
    learned: [spec.position === "learned", "the model has no learned positions"],
    rotary: [spec.position === "rotary", "the model has no rotary positions"],
    sequential: [
      spec.block === "sequential",
      "attention and MLP both read the block's input; use hook_mlp_in",
    ],
    prenorm: [spec.normPlacement !== "post", "the model has no norms before attention and MLP"],
    postnorm: [spec.normPlacement !== "pre", "the model has no norms after attention and MLP"],
    dense: [dense, "the model's MLP is a mixture of experts"],
    gated_dense: [
      dense && spec.gated,
      dense ? "the model's MLP is not gated" : "the model's MLP is a mixture of experts",
    ],
    mixture: [!dense, "the model's MLP is not a mixture of experts"],
    gated_mixture: [
      !dense && spec.gated,
      dense ? "the model's MLP is not a mixture of experts" : "the model's experts are not gated",
    ],
  }[when] as [boolean, string];
  if (!exists) return why;
  if (id === "attn_in" && spec.kvHeads !== spec.heads) {
    return "query heads share keys and values; use hook_q_input, hook_k_input and hook_v_input";
  }
  return undefined;
}

function unknownHook(name: string, spec: ModelSpec): KeyheadsError {
  const local = (full: string) => full.replace(/^blocks\.\d+\./, "");
  const near = listHooks(spec)
    .map((candidate) => ({
      candidate,
      distance: editDistance(local(name), local(candidate)),
      whole: editDistance(name, candidate),
    }))
    .sort((a, b) => a.distance - b.distance || a.whole - b.whole)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
  return new KeyheadsError(
    "UNKNOWN_HOOK",
    `there is no hook "${name}"; near names: ${near.join(", ")}`,
  );
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; ++i) {
    const row = [i];
    for (let j = 1; j <= b.length; ++j) {
      const change = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(change, (previous[j] as number) + 1, (row[j - 1] as number) + 1));
    }
    previous = row;
  }
  return previous[b.length] as number;
}
