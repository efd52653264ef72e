/** The weights that a model has, by slot, with their shapes as the engine sees them. */
import type { SlotRef, TensorSource } from "@keyheads/native";

/** A slot's [out, in] matrix; vectors have one column. */
export interface SlotShape extends SlotRef {
  readonly rows: number;
  readonly columns: number;
}

export function slotShape(source: TensorSource): SlotShape {
  const { slot, layer, start, stop, shape, transpose } = source;
  const input = shape.length === 1 ? 1 : shape[transpose ? 0 : 1];
  if (input === undefined) {
    throw new RangeError(`${slot} of layer ${layer} has shape [${shape.join(", ")}]`);
  }
  return { slot, layer, rows: stop - start, columns: input };
}

export function slotShapes(sources: readonly TensorSource[]): SlotShape[] {
  return sources.map(slotShape);
}

/** A key for maps: "wq.3", "embed.-1". */
export function slotKey({ slot, layer }: SlotRef): string {
  return `${slot}.${layer}`;
}
