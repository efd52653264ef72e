// Which stored tensor, or part of one, fills each slot of the engine: a family's names applied to the
// sizes of a config.
import type { LayerSlot, ModelSlot, ModelSpec, SlotRef, TensorSource } from "@keyheads/native";
import type { ArchSpec } from "../archs/spec.ts";
import type { Weight } from "../archs/weights.ts";
import { KeyheadsError } from "../errors.ts";
import type { TensorInfo } from "./safetensors.ts";
import { slotShape } from "./slots.ts";

/** A slot of the engine, or some of its rows, and the stored tensor, or the part of one, with them. */
export interface SlotSource extends TensorSource {
  /** The tensor's name in the file. */
  readonly tensor: string;
}

/** Which biases this checkpoint's config says exist. */
export interface SlotFlags {
  readonly qkvBias: boolean;
  readonly outBias: boolean;
  readonly mlpBias: boolean;
  readonly unembedBias: boolean;
}

/** Rows of a slot that are one tensor, or a part of one. */
interface Wanted extends SlotRef {
  readonly rows: readonly [start: number, stop: number];
  readonly name: string;
  readonly weight: Exclude<Weight, string>;
}

/** Throws BAD_CHECKPOINT for a slot without a tensor, and for a tensor of another shape or dtype. */
export function mapSlots(
  arch: ArchSpec,
  spec: ModelSpec,
  flags: SlotFlags,
  tensors: ReadonlyMap<string, TensorInfo>,
  folder: string,
): SlotSource[] {
  const { layer: layerWeights, ...modelWeights } = arch.weights;
  const named = (weights: object, layer: number) =>
    (Object.entries(weights) as [ModelSlot | LayerSlot, Weight][])
      .filter(([slot]) => exists(slot, spec, flags))
      .flatMap(([slot, weight]) => tensorsOf({ slot, layer }, weight, spec));
  const wanted = [
    ...named(modelWeights, -1),
    ...Array.from({ length: spec.layers }, (_, layer) => named(layerWeights, layer)).flat(),
  ];
  return wanted.map((part) => {
    const names = candidates(part.name, arch);
    const tensor = names.map((name) => tensors.get(name)).find((t) => t !== undefined);
    if (!tensor) throw missing(names, part, tensors, folder);
    return slotSource(part, tensor, spec);
  });
}

/** Whether a slot that a family may have is there under this config. */
function exists(slot: ModelSlot | LayerSlot, spec: ModelSpec, flags: SlotFlags): boolean {
  switch (slot) {
    case "unembed":
      return !spec.tied;
    case "unembedBias":
      return flags.unembedBias;
    case "bq":
    case "bk":
    case "bv":
      return flags.qkvBias;
    case "bo":
      return flags.outBias;
    case "bGate":
    case "bUp":
    case "bDown":
      return flags.mlpBias;
    case "qNorm":
    case "kNorm":
      return spec.qkNorm !== "none";
    case "mlpNorm":
    case "mlpNormBias":
      return !spec.sharedNorm;
    default:
      return true;
  }
}

/** The tensors of a slot: one, one an expert ({j}), or one a head ({h}). */
function tensorsOf(ref: SlotRef, named: Weight, spec: ModelSpec): Wanted[] {
  const weight = typeof named === "string" ? { from: named } : named;
  const name = weight.from.replace("{i}", String(ref.layer));
  const [out] = slotShape(ref.slot, spec);
  if (name.includes("{j}")) {
    return Array.from({ length: spec.experts }, (_, expert) => ({
      ...ref,
      expert,
      rows: [0, out],
      name: name.replace("{j}", String(expert)),
      weight,
    }));
  }
  if (name.includes("{h}")) {
    return Array.from({ length: out / spec.dHead }, (_, head) => ({
      ...ref,
      rows: [head * spec.dHead, (head + 1) * spec.dHead],
      name: name.replace("{h}", String(head)),
      weight,
    }));
  }
  return [{ ...ref, rows: [0, out], name, weight }];
}

function slotSource(part: Wanted, tensor: TensorInfo, spec: ModelSpec): SlotSource {
  const { name: _, weight, ...ref } = part;
  const { dtype } = tensor;
  const { out, ...layout } = layoutOf(part, spec);
  const [, into] = slotShape(ref.slot, spec);
  const whole = into === undefined ? [out] : [out, into];
  const expected = weight.transpose ? whole.toReversed() : whole;
  if (tensor.shape.join() !== expected.join()) {
    throw bad(
      `${tensor.file}: tensor "${tensor.name}" has shape [${tensor.shape.join(", ")}], expected [${expected.join(", ")}] from config.json`,
    );
  }
  if (dtype !== "F64" && dtype !== "F32" && dtype !== "F16" && dtype !== "BF16") {
    throw bad(
      `${tensor.file}: tensor "${tensor.name}" has dtype ${dtype}, expected F32, F16, BF16 or F64 (quantised checkpoints are not read)`,
    );
  }
  return {
    ...ref,
    tensor: tensor.name,
    file: tensor.file,
    offset: tensor.offset,
    dtype,
    shape: tensor.shape,
    transpose: weight.transpose ?? false,
    ...layout,
  };
}

/** Where a slot's rows lie in the out dimension of its tensor, and how long that is. */
function layoutOf({ slot, rows, weight }: Wanted, spec: ModelSpec) {
  const sizes = (slots: readonly LayerSlot[]) =>
    slots.reduce((sum, other) => sum + slotShape(other, spec)[0], 0);
  const count = rows[1] - rows[0];
  if (weight.byHead) {
    const part = weight.byHead.indexOf(slot as LayerSlot);
    const stride = weight.byHead.length * spec.dHead;
    return { out: sizes(weight.byHead), start: part * spec.dHead, length: spec.dHead, stride };
  }
  if (weight.stacked) {
    const before = weight.stacked.slice(0, weight.stacked.indexOf(slot as LayerSlot));
    return { out: sizes(weight.stacked), start: sizes(before), length: count, stride: 0 };
  }
  return { out: count, start: 0, length: count, stride: 0 };
}

/** A weight's possible names: with and without the family's optional prefix. */
export function candidates(name: string, arch: ArchSpec): string[] {
  return arch.optionalPrefix === undefined ? [name] : [arch.optionalPrefix + name, name];
}

function missing(
  names: readonly string[],
  { slot, layer }: SlotRef,
  tensors: ReadonlyMap<string, TensorInfo>,
  folder: string,
): KeyheadsError {
  const where = layer < 0 ? slot : `${slot} of layer ${layer}`;
  const remedy =
    slot === "unembed"
      ? "if the output projection is the embedding, config.json must set tie_word_embeddings to true"
      : "is config.json the one of these weights?";
  return bad(
    `${folder} has no tensor "${names.join('" or "')}" (${where}) among its ${tensors.size} tensors; ${remedy}`,
  );
}

const bad = (message: string) => new KeyheadsError("BAD_CHECKPOINT", message);
