import { type Component, componentName } from "../attribution/component.ts";

/** Sets of components that are run once each, however often they are asked for. */
export class VariantList {
  readonly list: (readonly Component[])[] = [];
  readonly #index = new Map<string, number>();

  /** The number of this set, whatever its order. */
  add(set: readonly Component[]): number {
    const key = set.map(componentName).sort().join();
    const known = this.#index.get(key);
    if (known !== undefined) return known;
    this.#index.set(key, this.list.length);
    this.list.push(set);
    return this.list.length - 1;
  }
}
