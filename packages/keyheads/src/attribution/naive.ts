// Path patching as Wang et al. 2022 describe it, one complete hooked forward pass a sender: every
// attention output is set to its value on X_r at every position, then the sender's at END to its
// value on X_c. Slow; it defines what the exact method computes, and tests compare the two.
import type { FloatArray, ModelSpec } from "@keyheads/native";
import { part } from "../float-arrays.ts";
import { hooks } from "../hooks.ts";
import type { CallOptions, HookEdit, Model } from "../model.ts";
import { captureBank, type FullBank } from "./capture.ts";
import type { Component } from "./component.ts";
import type { Pair } from "./pairs.ts";
import type { Patching } from "./patch.ts";
import { pairReadout } from "./reading.ts";

export async function patchNaively(
  model: Model,
  pairs: readonly Pair[],
  { senders, mlpPath, logsumexp }: Patching,
  { signal, onProgress }: CallOptions,
) {
  const call: CallOptions = signal ? { signal } : {};
  const sequences = pairs.map((pair) => pair.reference);
  const reference = await captureBank(model, sequences, "all", call);
  const counterfactuals = pairs.map((pair) => pair.counterfactual);
  const replacement = await captureBank(model, counterfactuals, "end", call);
  const frozen = freeze(model.spec, reference.bank, mlpPath === "freeze");
  const results = [];
  for (const [done, sender] of senders.entries()) {
    const edit = replace(model.spec, replacement.bank, sender);
    results.push(
      await model.forward({
        sequences,
        edits: [...frozen, edit],
        readout: pairReadout(pairs, logsumexp),
        ...call,
      }),
    );
    onProgress?.(done + 1, senders.length);
  }
  return results;
}

function freeze({ layers }: ModelSpec, bank: FullBank, mlps: boolean): HookEdit[] {
  const each = Array.from({ length: layers }, (_, layer) => layer);
  const at = (values: FloatArray, layer: number) => part(values, layer, layers);
  return each.flatMap((layer): HookEdit[] => [
    { hook: hooks.z(layer), op: "set", value: at(bank.z, layer) },
    ...(mlps
      ? [{ hook: hooks.mlp_out_raw(layer), op: "set" as const, value: at(bank.mlp, layer) }]
      : []),
  ]);
}

/** Edits of a site apply in order, so the sender's comes after what freezes it. */
function replace(spec: ModelSpec, bank: FullBank, { layer, head }: Component): HookEdit {
  if (head < 0) {
    const value = part(bank.mlp, layer, spec.layers);
    return { hook: hooks.mlp_out_raw(layer), positions: "end", op: "set", value };
  }
  const z = part(bank.z, layer, spec.layers);
  const width = spec.heads * spec.dHead;
  const value = z.slice(0, bank.rows * spec.dHead);
  for (let row = 0; row < bank.rows; ++row) {
    const from = row * width + head * spec.dHead;
    value.set(z.subarray(from, from + spec.dHead), row * spec.dHead);
  }
  return { hook: hooks.z(layer), head, positions: "end", op: "set", value };
}
