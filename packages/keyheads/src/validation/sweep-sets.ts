// Runs of cases with each of many sets of heads and MLPs replaced, chunk by chunk: one sweep a chunk.
import type { SweepRequest, SweepResult } from "@keyheads/native";
import { chunkSize } from "../attribution/chunk-size.ts";
import type { Component } from "../attribution/component.ts";
import { runSweep } from "../attribution/sweep.ts";
import type { CallOptions, Model } from "../model.ts";
import type { Case } from "./cases.ts";
import type { AblationOptions } from "./options.ts";
import { prepareReplacement } from "./replacement.ts";

export interface SetSweep {
  /** What was put in place of what was removed. */
  readonly description: string;
  /** Replaces each set in every case; `visit` gets the result of cases [start, start + chunk). */
  run(
    variants: readonly (readonly Component[])[],
    readout: (chunk: readonly Case[]) => SweepRequest["readout"],
    visit: (start: number, chunk: readonly Case[], result: SweepResult) => void,
  ): Promise<void>;
}

/** Prepares what replaces components: values of `over`, which are the cases themselves by default. */
export async function prepareSweep(
  model: Model,
  cases: readonly Case[],
  over: readonly Case[],
  options: AblationOptions,
): Promise<SetSweep> {
  const { ablation = "mean", positions = "all", align, seed = 0 } = options;
  const longest = [...cases, ...over].reduce((most, one) => {
    return Math.max(most, one.sequence.length);
  }, 0);
  const batchFor = (variants: number) =>
    options.batch ?? chunkSize(model, longest, positions, variants);
  const call: CallOptions = options.signal ? { signal: options.signal } : {};
  const settings = { ablation, positions, align, seed, batch: batchFor(1) };
  const replacement = await prepareReplacement(model, cases, over, settings, call);
  return {
    description: replacement.description,
    async run(variants, readout, visit) {
      const batch = batchFor(variants.length);
      for (let start = 0; start < cases.length; start += batch) {
        const chunk = cases.slice(start, start + batch);
        const bank = await replacement.bank(
          chunk.map((_, i) => start + i),
          call,
        );
        const result = await runSweep(
          model,
          {
            sequences: chunk.map((one) => one.sequence),
            variants,
            ...(bank && { bank }),
            freeze: "none",
            positions,
            readout: readout(chunk),
          },
          {
            ...call,
            onProgress: (done, total) =>
              options.onProgress?.(
                Math.floor((start + (chunk.length * done) / total) * variants.length),
                cases.length * variants.length,
              ),
          },
        );
        visit(start, chunk, result);
      }
    },
  };
}
