/**
 * Names of heads and MLPs ("3.1", "17") and the parts of the weights that belong to them.
 *
 * A head owns its rows of W_Q, W_K, W_V (weight and bias) and its columns of W_O; never the bias of
 * W_O, a norm or an embedding. With grouped queries a key/value group serves several heads, so only
 * W_Q and W_O belong to a head, unless the group is asked for. An MLP owns all its weights and
 * biases, in a mixture of experts those of every expert and the router's; never a norm.
 */
import type { LayerSlot, ModelSpec, Slice } from "@keyheads/native";
import { allHeads, type HeadRef } from "../attribution/component.ts";
import { KeyheadsError } from "../errors.ts";
import { allSlices, type SlotOwner } from "./slots.ts";

export type { HeadRef };

type Counts = Pick<ModelSpec, "layers" | "heads">;

export interface Selection {
  readonly heads?: readonly HeadRef[];
  /** Layers whose whole MLP (all weights and biases) is selected. */
  readonly mlps?: readonly number[];
  /**
   * With grouped queries, also select the key/value group of every selected head. That changes the
   * other heads of the group too: `sharedHeads` names them. No effect without grouped queries.
   */
  readonly keyValueGroups?: boolean;
  /** Every weight of the model, norms and embeddings included. Excludes the other options. */
  readonly everything?: boolean;
}

/** "12.3" */
export function formatHead({ layer, head }: HeadRef): string {
  return `${layer}.${head}`;
}

export function formatHeads(heads: readonly HeadRef[]): string[] {
  return heads.map(formatHead);
}

/** Reads "3.1,12.22". With a spec, also checks that the heads exist. */
export function parseHeads(text: string, spec?: Counts): HeadRef[] {
  const heads = parts(text, "heads", "3.1,12.22").map((part) => {
    const match = /^(\d+)\.(\d+)$/.exec(part);
    if (match === null) {
      throw new KeyheadsError(
        "USAGE",
        `"${part}" is not a head; write layer.head, zero based and comma separated: 3.1,12.22`,
      );
    }
    return { layer: Number(match[1]), head: Number(match[2]) };
  });
  noRepeats(heads.map(formatHead), "head");
  if (spec !== undefined) checkHeads(heads, spec);
  return heads;
}

/** Reads "17,20". With a spec, also checks that the layers exist. */
export function parseMlps(text: string, spec?: Counts): number[] {
  const layers = parts(text, "MLPs", "17,20").map((part) => {
    if (/^\d+$/.test(part)) return Number(part);
    throw new KeyheadsError(
      "USAGE",
      `"${part}" is not a layer; write the layers of the MLPs, zero based and comma separated: 17,20`,
    );
  });
  noRepeats(layers.map(String), "MLP");
  if (spec !== undefined) checkMlps(layers, spec);
  return layers;
}

/** Throws USAGE, naming the first head that this model does not have. */
export function checkHeads(heads: readonly HeadRef[], spec: Counts): void {
  for (const head of heads) {
    if (isIndex(head.layer, spec.layers) && isIndex(head.head, spec.heads)) continue;
    throw new KeyheadsError(
      "USAGE",
      `head ${formatHead(head)} does not exist; this model has ${range("layer", spec.layers)} and ${range("head", spec.heads)} in each`,
    );
  }
}

/** Throws USAGE, naming the first layer that this model does not have. */
export function checkMlps(layers: readonly number[], spec: Counts): void {
  for (const layer of layers) {
    if (isIndex(layer, spec.layers)) continue;
    throw new KeyheadsError(
      "USAGE",
      `MLP ${layer} does not exist; this model has ${range("layer", spec.layers)}`,
    );
  }
}

/** The weights of a selection, disjoint. Throws USAGE where it is empty or names what is not there. */
export function selectSlices(model: SlotOwner, selection: Selection): Slice[] {
  const { heads = [], mlps = [], everything = false, keyValueGroups = false } = selection;
  const { spec } = model;
  if (everything) {
    if (heads.length > 0 || mlps.length > 0) {
      throw new KeyheadsError("USAGE", "select either everything or heads and MLPs, not both");
    }
    return allSlices(model);
  }
  checkHeads(heads, spec);
  checkMlps(mlps, spec);
  noRepeats(heads.map(formatHead), "head");
  noRepeats(mlps.map(String), "MLP");
  if (heads.length === 0 && mlps.length === 0) {
    throw new KeyheadsError("USAGE", "nothing is selected; name heads (3.1,12.22) or MLPs (17,20)");
  }
  const ownKeys = spec.kvHeads === spec.heads || keyValueGroups;
  const block = (index: number): [number, number] => [index * spec.dHead, (index + 1) * spec.dHead];
  return allSlices(model).flatMap((all): Slice[] => {
    if (mlpSlots.has(all.slot)) return mlps.includes(all.layer) ? [all] : [];
    const here = heads.filter(({ layer }) => layer === all.layer).map(({ head }) => head);
    if (queryRows.has(all.slot)) return here.map((head) => ({ ...all, rows: block(head) }));
    if (all.slot === "wo") return here.map((head) => ({ ...all, columns: block(head) }));
    if (keyValueRows.has(all.slot) && ownKeys) {
      const groups = new Set(here.map((head) => groupOf(head, spec)));
      return [...groups].map((group) => ({ ...all, rows: block(group) }));
    }
    return [];
  });
}

/** The key/value group that a query head reads. */
export function groupOf(head: number, spec: Pick<ModelSpec, "heads" | "kvHeads">): number {
  return Math.floor(head / (spec.heads / spec.kvHeads));
}

/** Unselected heads that read a selected key/value group, and so change with it. */
export function sharedHeads(heads: readonly HeadRef[], spec: ModelSpec): HeadRef[] {
  if (spec.kvHeads === spec.heads) return [];
  const selected = new Set(heads.map(formatHead));
  const groups = new Set(heads.map(({ layer, head }) => `${layer}/${groupOf(head, spec)}`));
  return allHeads(spec).filter(
    (ref) =>
      groups.has(`${ref.layer}/${groupOf(ref.head, spec)}`) && !selected.has(formatHead(ref)),
  );
}

const queryRows = new Set<string>(["wq", "bq"] satisfies LayerSlot[]);
const keyValueRows = new Set<string>(["wk", "wv", "bk", "bv"] satisfies LayerSlot[]);
const mlpSlots = new Set<string>([
  "router",
  "wGate",
  "wUp",
  "wDown",
  "bGate",
  "bUp",
  "bDown",
] satisfies LayerSlot[]);

function parts(text: string, what: string, example: string): string[] {
  const trimmed = text.trim();
  if (trimmed === "") {
    throw new KeyheadsError("USAGE", `the list of ${what} is empty; write it as ${example}`);
  }
  return trimmed.split(",").map((part) => part.trim());
}

function noRepeats(names: readonly string[], what: string): void {
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated === undefined) return;
  throw new KeyheadsError("USAGE", `${what} ${repeated} is named twice; name every ${what} once`);
}

function isIndex(value: number, count: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < count;
}

function range(what: string, count: number): string {
  return count === 1 ? `${what} 0 only` : `${what}s 0 to ${count - 1}`;
}
