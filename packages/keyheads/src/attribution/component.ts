// The units that attribution and validation work on: one attention head or one MLP. Written
// `layer.head` and `mlp layer`, zero based, everywhere a person reads or types them.

export interface HeadRef {
  readonly layer: number;
  readonly head: number;
}

/** A head, or (head -1) the MLP of a layer: the convention of the engine's sweep. */
export type Component = HeadRef;

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
