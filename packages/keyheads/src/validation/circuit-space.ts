// What a circuit is a part of. Sets are written as what stays; engines are told what goes. Of a circuit
// of heads and MLPs the whole is all heads, and all MLPs unless those outside of it are kept.
import {
  allHeads,
  allMlps,
  type Component,
  checkComponents,
  componentName,
  isMlp,
} from "../attribution/component.ts";
import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";

export interface PartSpace<Part> {
  /** Everything that may be removed. */
  readonly all: readonly Part[];
  nameOf(part: Part): string;
  /** What minimality may hold a part of the circuit against. */
  isComparable(part: Part): boolean;
}

export interface CircuitSpace extends PartSpace<Component> {
  readonly mlpsOutside: "kept" | "removed";
}

/**
 * MLPs outside of the circuit are kept by default where it names none (as Wang et al. 2022 do), and
 * removed where it names some. Throws BAD_ARGUMENT for MLPs in a circuit that keeps them all.
 */
export function circuitSpace(
  spec: Model["spec"],
  circuit: readonly Component[],
  mlpsOutside?: "kept" | "removed",
): CircuitSpace {
  checkComponents(circuit, spec);
  const named = circuit.filter(isMlp);
  const mode = mlpsOutside ?? (named.length > 0 ? "removed" : "kept");
  if (mode === "kept" && named.length > 0) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `the circuit names ${named.map(componentName).join(", ")}, but MLPs outside of it are kept, so ` +
        "that says nothing; name heads only, or remove MLPs outside",
    );
  }
  const all = [...allHeads(spec), ...(mode === "removed" ? allMlps(spec) : [])];
  return { mlpsOutside: mode, all, nameOf: componentName, isComparable: (part) => !isMlp(part) };
}

/** In the order of `from`. */
export function difference<Part>(
  { nameOf }: Pick<PartSpace<Part>, "nameOf">,
  from: readonly Part[],
  less: readonly Part[],
): Part[] {
  const gone = new Set(less.map(nameOf));
  return from.filter((part) => !gone.has(nameOf(part)));
}

/** The complement of what stays. */
export function allBut<Part>(space: PartSpace<Part>, kept: readonly Part[]): Part[] {
  return difference(space, space.all, kept);
}
