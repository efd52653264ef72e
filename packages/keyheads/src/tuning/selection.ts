/**
 * Names of heads and MLPs ("3.1", "17") and the parts of the weights that belong to them.
 *
 * A head owns its rows of W_Q, W_K, W_V (weight and bias) and its columns of W_O; never the bias of
 * W_O, a norm or an embedding. With grouped queries a key/value group serves several heads, so only
 * W_Q and W_O belong to a head, unless the group is asked for. An MLP owns all its weights and
 * biases, in a mixture of experts those of every expert and the router's; never a norm. A layer is all
 * its heads, with every key/value group, and its MLP. A matrix is any one weight, by name.
 */
import type { LayerSlot, ModelSpec, Slice } from "@keyheads/native";
import { allHeads, type HeadRef } from "../attribution/component.ts";
import { KeyheadsError } from "../errors.ts";
import { slotKey } from "../load/slots.ts";
import { rng } from "../statistics/rng.ts";
import { allSlices, type SlotOwner } from "./slots.ts";

export type { HeadRef };

type Counts = Pick<ModelSpec, "layers" | "heads">;

export interface Selection {
  readonly heads?: readonly HeadRef[];
  /** Layers whose whole MLP (all weights and biases) is selected. */
  readonly mlps?: readonly number[];
  /** Layers of which all heads, keys and values included, and the MLP are selected. */
  readonly layers?: readonly number[];
  /** Single weights: slots such as "wq.3", "wUp.3.expert1", "finalNorm", or tensors of the file. */
  readonly matrices?: readonly string[];
  /** Some neurons of MLPs: their rows of W_gate and W_up with biases, their columns of W_down. */
  readonly neurons?: readonly Neurons[];
  /** So many heads drawn from those that are not named. */
  readonly randomHeads?: { readonly count: number; readonly seed?: number };
  /**
   * With grouped queries, also select the key/value group of every selected head. That changes the
   * other heads of the group too: `sharedHeads` names them. No effect without grouped queries.
   */
  readonly keyValueGroups?: boolean;
  /** Every weight of the model, norms and embeddings included. Excludes the other options. */
  readonly everything?: boolean;
}

/** Neurons [start, stop) of a layer's MLP; in a mixture, of every expert. */
export interface Neurons {
  readonly layer: number;
  readonly start: number;
  readonly stop: number;
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

/** Reads "4-6,9". With a spec, also checks that the layers exist. */
export function parseLayers(text: string, spec?: Counts): number[] {
  const layers = parts(text, "layers", "4-6,9").flatMap((part) => {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (match && first <= last)
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    throw new KeyheadsError("USAGE", `"${part}" is no layer or range of layers; write 4-6,9`);
  });
  noRepeats(layers.map(String), "layer");
  if (spec !== undefined) checkLayers(layers, spec);
  return layers;
}

/** Reads "wq.3,wUp.7"; whether they exist is checked when they are selected. */
export function parseMatrices(text: string): string[] {
  const names = parts(text, "matrices", "wq.3,wUp.7");
  noRepeats(names, "matrix");
  return names;
}

function checkLayers(layers: readonly number[], spec: Counts): void {
  const wrong = layers.find((layer) => !isIndex(layer, spec.layers));
  if (wrong === undefined) return;
  throw new KeyheadsError(
    "USAGE",
    `layer ${wrong} does not exist; this model has ${range("layer", spec.layers)}`,
  );
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

/**
 * The same selection with layers and random heads turned into heads and MLPs. Throws USAGE for what
 * this model does not have.
 */
export function resolveSelection(spec: ModelSpec, selection: Selection): Selection {
  const { layers = [], randomHeads, ...rest } = selection;
  checkLayers(layers, spec);
  checkHeads(rest.heads ?? [], spec);
  checkMlps(rest.mlps ?? [], spec);
  if (layers.length === 0 && randomHeads === undefined) return selection;
  const whole = allHeads(spec).filter(({ layer }) => layers.includes(layer));
  const named = [...(rest.heads ?? []), ...whole];
  const heads = [...named, ...(randomHeads ? drawHeads(spec, named, randomHeads) : [])];
  const unique = new Map(heads.map((head) => [formatHead(head), head]));
  return {
    ...rest,
    heads: [...unique.values()],
    mlps: [...new Set([...(rest.mlps ?? []), ...layers])],
    matrices: [
      ...(rest.matrices ?? []),
      ...layers.flatMap((layer) => ["wk", "wv", "bk", "bv"].map((slot) => `${slot}.${layer}?`)),
    ],
  };
}

function drawHeads(
  spec: Counts,
  named: readonly HeadRef[],
  { count, seed = 0 }: NonNullable<Selection["randomHeads"]>,
): HeadRef[] {
  const taken = new Set(named.map(formatHead));
  const others = allHeads(spec).filter((head) => !taken.has(formatHead(head)));
  if (Number.isInteger(count) && count >= 1 && count <= others.length) {
    return rng(seed).sample(others, count);
  }
  throw new KeyheadsError(
    "USAGE",
    `${count} random heads: expected a number from 1 to ${others.length}, the heads that are not named`,
  );
}

/** The weights of a selection, disjoint. Throws USAGE where it is empty or names what is not there. */
export function selectSlices(model: SlotOwner, selection: Selection): Slice[] {
  const { spec } = model;
  if (selection.everything) {
    const others = ["heads", "mlps", "layers", "matrices", "neurons", "randomHeads"] as const;
    if (others.some((name) => [selection[name] ?? []].flat().length > 0)) {
      throw new KeyheadsError("USAGE", "select either everything or heads and MLPs, not both");
    }
    return allSlices(model);
  }
  const resolved = resolveSelection(spec, selection);
  const { heads = [], mlps = [], matrices = [], neurons = [], keyValueGroups = false } = resolved;
  noRepeats(heads.map(formatHead), "head");
  noRepeats(mlps.map(String), "MLP");
  const whole = wholeMatrices(model, matrices);
  if (heads.length + mlps.length + whole.size + neurons.length === 0) {
    throw new KeyheadsError("USAGE", "nothing is selected; name heads (3.1,12.22) or MLPs (17,20)");
  }
  const ownKeys = spec.kvHeads === spec.heads || keyValueGroups;
  const block = (index: number): [number, number] => [index * spec.dHead, (index + 1) * spec.dHead];
  return allSlices(model).flatMap((all): Slice[] => {
    if (whole.has(slotKey(all))) return [all];
    if (mlpSlots.has(all.slot)) return mlps.includes(all.layer) ? [all] : ofNeurons(all, neurons);
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

function ofNeurons(all: Slice, neurons: readonly Neurons[]): Slice[] {
  const side = all.slot === "wDown" ? "columns" : "rows";
  if (all.slot === "bDown" || all.slot === "router") return [];
  return neurons
    .filter(({ layer }) => layer === all.layer)
    .map(({ start, stop }) => {
      if (start >= 0 && start < stop && stop <= all[side][1]) {
        return { ...all, [side]: [start, stop] as const };
      }
      throw new KeyheadsError(
        "USAGE",
        `neurons ${start} to ${stop} of MLP ${all.layer}: expected a range within 0 to ${all[side][1]}`,
      );
    });
}

/** Keys of the slots that are named whole. A name with ? behind it need not exist. */
function wholeMatrices({ files }: SlotOwner, names: readonly string[]): Set<string> {
  const keys = new Set<string>();
  for (const given of names) {
    const name = given.replace(/\?$/, "");
    const found = files.slots.filter(
      (part) => part.tensor === name || slotKey(part) === name || slotKey(part) === `${name}.-1`,
    );
    for (const part of found) keys.add(slotKey(part));
    if (found.length > 0 || given.endsWith("?")) continue;
    const known = [...new Set(files.slots.map((part) => slotKey(part).replace(".-1", "")))];
    throw new KeyheadsError(
      "USAGE",
      `there is no weight ${name}; name a slot of this model (${known.slice(0, 12).join(", ")}, ...) or a tensor of its files`,
    );
  }
  return keys;
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
