// The units that attribution and validation work on: one attention head or one MLP. Written
// `layer.head` and `mlp layer`, zero based, everywhere a person reads them.
import type { ModelSpec } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";

export interface HeadRef {
  readonly layer: number;
  readonly head: number;
}

/** A head, or (head -1) the MLP of a layer: the convention of the engine's sweep. */
export type Component = HeadRef;
type Counts = Pick<ModelSpec, "layers" | "heads">;

export function mlp(layer: number): Component {
  return { layer, head: -1 };
}

export function isMlp(component: Component): boolean {
  return component.head < 0;
}

/** `3.1` for a head, `mlp 3` for an MLP. */
export function componentName({ layer, head }: Component): string {
  return head < 0 ? `mlp ${layer}` : `${layer}.${head}`;
}

/** Every head, layer by layer. */
export function allHeads({ layers, heads }: Counts): HeadRef[] {
  return Array.from({ length: layers * heads }, (_, i) => ({
    layer: Math.floor(i / heads),
    head: i % heads,
  }));
}

export function allMlps({ layers }: Pick<Counts, "layers">): Component[] {
  return Array.from({ length: layers }, (_, layer) => mlp(layer));
}

/** Throws BAD_ARGUMENT for a head or MLP that the model does not have, or that is named twice. */
export function checkComponents(components: readonly Component[], { layers, heads }: Counts): void {
  const seen = new Set<string>();
  for (const component of components) {
    const name = componentName(component);
    const { layer, head } = component;
    if (!(Number.isInteger(layer) && layer >= 0 && layer < layers)) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `${name}: there is no layer ${layer}; this model has layers 0 to ${layers - 1}`,
      );
    }
    if (!(Number.isInteger(head) && head >= -1 && head < heads)) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `${name}: there is no head ${head}; every layer of this model has heads 0 to ${heads - 1}`,
      );
    }
    if (seen.has(name)) throw new KeyheadsError("BAD_ARGUMENT", `${name} is named twice`);
    seen.add(name);
  }
}
