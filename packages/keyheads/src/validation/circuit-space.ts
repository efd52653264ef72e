// What a circuit is a part of: all heads, and all MLPs unless those outside of it are kept. Sets are
// written as what stays; engines are told what goes.
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

export interface CircuitSpace {
  readonly mlpsOutside: "kept" | "removed";
  /** Everything that may be removed. */
  readonly all: readonly Component[];
  /** The complement of what stays. */
  without(kept: readonly Component[]): Component[];
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
  return { mlpsOutside: mode, all, without: (kept) => difference(all, kept) };
}

/** In the order of `from`. */
export function difference(from: readonly Component[], less: readonly Component[]): Component[] {
  const gone = new Set(less.map(componentName));
  return from.filter((component) => !gone.has(componentName(component)));
}
