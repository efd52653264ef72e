// What a path ends in: the q, k or v input of a head, the input of an MLP, the residual stream
// entering a layer. Without receivers it is the logits.
import type { FloatArray, ModelSpec } from "@keyheads/native";
import { KeyheadsError } from "../../errors.ts";
import { hooks } from "../../hooks.ts";
import type { SiteOptions, SweepEdit } from "../../model.ts";
import type { At } from "./unit.ts";

export interface HeadInput {
  readonly input: "q" | "k" | "v";
  readonly layer: number;
  /** Query head, also of keys and values: it gets a copy of its own of its group's (see docs/method.md). */
  readonly head: number;
}
export interface MlpInput {
  readonly input: "mlp";
  readonly layer: number;
}
/** Entering the layer; the number of layers is what the final norm reads. */
export interface Residual {
  readonly input: "resid";
  readonly layer: number;
}
export type Receiver = HeadInput | MlpInput | Residual;

/** `q:3.1`, `k:4.0`, `mlp:5`, `resid:7`. */
export function receiverName(receiver: Receiver): string {
  const { input, layer } = receiver;
  return "head" in receiver ? `${input}:${layer}.${receiver.head}` : `${input}:${layer}`;
}

const pattern = /^(?:(q|k|v):(\d+)\.(\d+)|(mlp|resid):(\d+))$/;

/** Reads a list such as `q:3.1,k:4.0,mlp:5,resid:7`. Throws USAGE for anything else. */
export function parseReceivers(text: string): Receiver[] {
  return text.split(",").map((part) => {
    const found = pattern.exec(part.trim());
    if (!found) {
      throw new KeyheadsError(
        "USAGE",
        `receiver "${part.trim()}": expected q:3.1, k:3.1 or v:3.1 (a head's input), mlp:5 or resid:7`,
      );
    }
    const [, input, layer, head, other, at] = found;
    return input
      ? { input: input as HeadInput["input"], layer: Number(layer), head: Number(head) }
      : { input: other as "mlp" | "resid", layer: Number(at) };
  });
}

/** Throws BAD_ARGUMENT for receivers that the model does not have, or that are named twice. */
export function checkReceivers(receivers: readonly Receiver[], spec: ModelSpec): void {
  const { layers, heads } = spec;
  const seen = new Set<string>();
  for (const receiver of receivers) {
    const name = receiverName(receiver);
    const last = receiver.input === "resid" ? layers : layers - 1;
    const whole = (value: number, most: number) =>
      Number.isInteger(value) && value >= 0 && value <= most;
    const head = "head" in receiver ? receiver.head : 0;
    if (!(whole(receiver.layer, last) && whole(head, heads - 1))) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `receiver ${name} does not exist: this model has layers 0 to ${layers - 1} of ${heads} heads` +
          (receiver.input === "resid" ? `; resid:${layers} is what the final norm reads` : ""),
      );
    }
    if (seen.has(name)) throw new KeyheadsError("BAD_ARGUMENT", `receiver ${name} is named twice`);
    seen.add(name);
  }
}

/** Throws BAD_ARGUMENT where `wholeGroups` would change nothing. */
export function checkWholeGroups(wholeGroups: boolean, inputs: readonly Receiver["input"][]): void {
  if (!wholeGroups || inputs.includes("k") || inputs.includes("v")) return;
  throw new KeyheadsError(
    "BAD_ARGUMENT",
    "whole groups are about keys and values that query heads share, and no k or v input receives here; " +
      "name one, such as the receivers k:3.1,v:3.1, or leave whole groups out",
  );
}

/** The hook that shows, or changes, what a receiver reads. */
function streamHook({ input, layer }: Receiver, { layers }: ModelSpec): string {
  if (input === "mlp") return hooks.mlp_in(layer);
  return layer === layers ? hooks.resid_post(layers - 1) : hooks.resid_pre(layer);
}

export function recordSites(
  receivers: readonly Receiver[],
  spec: ModelSpec,
  at: At,
): SiteOptions[] {
  const names = new Set(receivers.map((receiver) => streamHook(receiver, spec)));
  return [...names].map((hook) => ({ hook, positions: at }));
}

/** What was recorded of the streams that receivers read, of many variants. */
export class Recorded {
  readonly #arrays: ReadonlyMap<string, FloatArray>;
  readonly #variants: number;
  readonly #spec: ModelSpec;
  readonly #at: At;

  constructor(
    sites: readonly SiteOptions[],
    captures: readonly FloatArray[],
    variants: number,
    spec: ModelSpec,
    at: At,
  ) {
    this.#arrays = new Map(sites.map(({ hook }, i) => [hook, captures[i] as FloatArray]));
    this.#variants = variants;
    this.#spec = spec;
    this.#at = at;
  }

  /** Sets the inputs of these heads (or, of k and v, groups), which read the same stream. */
  setHeads(input: HeadInput["input"], layer: number, heads: readonly number[], variant: number) {
    const hook = { q: hooks.q_input, k: hooks.k_input, v: hooks.v_input }[input](layer);
    const sorted = [...new Set(heads)].sort((a, b) => a - b);
    return this.#edit({ hook, heads: sorted }, hooks.resid_pre(layer), variant);
  }

  set(receiver: MlpInput | Residual, variant: number): SweepEdit {
    const hook = streamHook(receiver, this.#spec);
    return this.#edit({ hook }, hook, variant);
  }

  #edit(site: SiteOptions, from: string, variant: number): SweepEdit {
    const array = this.#arrays.get(from) as FloatArray;
    const offset = variant * (array.length / this.#variants);
    const value = { array, offset, row: this.#spec.dModel, head: 0 };
    return { ...site, positions: this.#at, op: "set", value };
  }
}
