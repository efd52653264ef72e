// Runs of X_r with one sender replaced by its value on X_c, for every sender: path patching by the
// engine's END-row chain (exact), activation patching, and path patching as Wang et al. 2022 describe
// it (naive): one complete hooked forward pass a sender with every attention output held at its value on
// X_r. Slow; it defines what the exact method computes, and tests compare the two.
import type { CallOptions, Model } from "../model.ts";
import { captureBank } from "./capture.ts";
import type { Component } from "./component.ts";
import type { MlpPath, PatchingMethod, Positions } from "./options.ts";
import type { Pair } from "./pairs.ts";
import { patchInto } from "./paths/into.ts";
import type { Receiver } from "./paths/receivers.ts";
import { emptyReading, pairReadout, type Reading, readingOf, storeReading } from "./reading.ts";
import { runSweep } from "./sweep.ts";

export interface Patching {
  readonly method: PatchingMethod;
  readonly positions: Positions;
  readonly mlpPath: MlpPath;
  /** None: the logits. */
  readonly receivers: readonly Receiver[];
  readonly wholeGroups: boolean;
  readonly senders: readonly Component[];
  readonly logsumexp: boolean;
  /** Items per native call. */
  readonly batch: number;
}

/** One reading a sender. Progress counts patched items over all senders. */
export async function patchSenders(
  model: Model,
  pairs: readonly Pair[],
  patching: Patching,
  { signal, onProgress }: CallOptions,
): Promise<Reading[]> {
  const { senders, batch } = patching;
  const readings = senders.map(() => emptyReading(pairs.length));
  const total = pairs.length * senders.length;
  for (let start = 0; start < pairs.length; start += batch) {
    const chunk = pairs.slice(start, start + batch);
    const size = chunk.length * senders.length;
    const call: CallOptions = {
      ...(signal && { signal }),
      onProgress: (done, all) =>
        onProgress?.(start * senders.length + Math.floor((size * done) / all), total),
    };
    const way = patching.receivers.length > 0 ? patchReceivers : patchBySweep;
    const patched = await way(model, chunk, patching, call);
    patched.forEach((result, sender) => {
      storeReading(readings[sender] as Reading, start, result, 0, chunk.length);
    });
    onProgress?.(start * senders.length + size, total);
  }
  return readings;
}

async function patchBySweep(
  model: Model,
  pairs: readonly Pair[],
  patching: Patching,
  call: CallOptions,
) {
  const { positions, senders } = patching;
  const quiet: CallOptions = call.signal ? { signal: call.signal } : {};
  const counterfactuals = pairs.map((pair) => pair.counterfactual);
  const { bank } = await captureBank(model, counterfactuals, positions, quiet);
  const result = await runSweep(
    model,
    {
      sequences: pairs.map((pair) => pair.reference),
      variants: senders.map((sender) => [sender]),
      bank,
      freeze: patching.method === "activation" ? "none" : held(patching.mlpPath),
      positions,
      readout: pairReadout(pairs, patching.logsumexp),
    },
    call,
    patching.method === "naive",
  );
  return senders.map((_, v) => readingOf(result.variants, v, pairs.length));
}

async function patchReceivers(
  model: Model,
  pairs: readonly Pair[],
  { positions, method, mlpPath, ...patching }: Patching,
  call: CallOptions,
) {
  const sweep = { ...patching, at: positions, freeze: held(mlpPath), naive: method === "naive" };
  return await patchInto(model, pairs, sweep, call);
}

const held = (mlpPath: MlpPath) =>
  mlpPath === "freeze" ? ("attention+mlp" as const) : ("attention" as const);
