// Tuning the key heads only, and the comparison that tells whether it was worth it. Everything is
// restored afterwards; the tuned model is saved beside the results.
import { join } from "node:path";
import type { HeadRef } from "../attribution/component.ts";
import type { CallOptions, Model } from "../model.ts";
import type { ClassAccuracy, IdentifyResult, TuningComparison } from "../results.ts";
import { checkSaved } from "../save/check-saved.ts";
import { saveModel } from "../save/save-model.ts";
import { lowestEffectHeads, topMlps } from "../tuning/draws.ts";
import { gainMethods } from "../tuning/gain-methods.ts";
import { compareAtMatchedGain } from "../tuning/matched-gain.ts";
import { selectSlices } from "../tuning/selection.ts";
import { evaluateClasses } from "./evaluate-classes.ts";
import type { RunPlan, TuningPlan } from "./plan.ts";

const usualRates = [3e-5, 1e-4, 3e-4];
const usualBatch = 64;
const draws = 20;
/** Points to gain where the plan says nothing, or this share of what is left where that is less. */
const usualPoints = 8;
const shareOfRoom = 0.75;
/** With less room than this there is nothing to improve. */
const leastRoom = 2;

export interface Improvement {
  readonly comparison: TuningComparison;
  /** All classes of the plan with the tuned key heads. */
  readonly after: readonly ClassAccuracy[];
  readonly description: string;
}

export interface ImproveOptions extends CallOptions {
  readonly seed: number;
  /** Where the run's folder is; the tuned model goes to its `tuned`. */
  readonly out?: string;
  /** Called with the tuned weights in the model. */
  readonly whileTuned: (model: Model) => Promise<void>;
  readonly onMethod: (text: string) => void;
}

/** Points that the target can be asked to gain; undefined if it is as good as solved. */
export function gainFor(before: readonly ClassAccuracy[], plan: TuningPlan): number | undefined {
  const target = before.find(({ name }) => name === plan.target);
  const room = 100 * (1 - (target?.accuracy ?? 1));
  return room < leastRoom
    ? undefined
    : Math.min(plan.points ?? usualPoints, Math.floor(10 * shareOfRoom * room) / 10);
}

export async function improve(
  model: Model,
  plan: RunPlan & { readonly tuning: TuningPlan },
  key: readonly HeadRef[],
  direct: IdentifyResult,
  gain: number,
  options: ImproveOptions,
): Promise<Improvement> {
  const { seed, signal, onProgress } = options;
  const { tuning } = plan;
  const call = { ...(signal && { signal }) };
  let after: readonly ClassAccuracy[] = [];
  const comparison = await compareAtMatchedGain(model, {
    ...call,
    ...(onProgress && { onProgress }),
    target: tuning.target,
    gain,
    train: tuning.train,
    dev: tuning.dev,
    devOther: tuning.devOther,
    replay: tuning.replay,
    evaluate: (m) => evaluateClasses(m, tuning.classes, call),
    learningRates: tuning.learningRates ?? usualRates,
    batch: tuning.batch ?? usualBatch,
    maxUpdates: tuning.maxUpdates,
    // The draws say what heads are worth; what replay is worth, the other methods show.
    replayMethods: ({ kind }) => kind !== "random",
    evaluateEvery: 2,
    methods: gainMethods(model.spec, {
      key,
      draws,
      lowest: lowestEffectHeads(direct, key.length),
      mlps: topMlps(direct, 1),
      full: true,
      seed,
    }),
    onEvent: (event) => {
      if (event.type !== "method") return;
      const { title, replay, updates } = event.result;
      const reached = updates === null ? "gain not reached" : `${updates} updates`;
      options.onMethod(`${title}${replay ? ", with replay" : ""}: ${reached}`);
    },
    onTuned: async (method, tuned, pieces) => {
      // The key heads with replay of other items: what a user would keep.
      if (method.kind !== "key" || !method.replay) return;
      after = await evaluateClasses(tuned, plan.classes, call);
      await options.whileTuned(tuned);
      if (options.out === undefined) return;
      const slices = selectSlices(tuned, { heads: key });
      const folder = join(options.out, "tuned");
      await saveModel(tuned, folder, { slices, force: true, manifest: { method, slices: pieces } });
      await checkSaved(tuned, folder, { slices, probes: probes(tuning) });
    },
  });
  const tuned = comparison.methods.find(({ kind, replay }) => kind === "key" && replay);
  return {
    comparison,
    after,
    description:
      `Only the heads ${tuned?.heads.join(", ")} were trained (${count(tuned?.trainedParameters)} of ` +
      `${count(model.parameterCount)} parameters), with replay of other items, for ` +
      `${tuned?.updates ?? tuning.maxUpdates} updates at learning rate ${tuned?.lr}.`,
  };
}

function count(n = 0): string {
  return n.toLocaleString("en-US");
}

/** A few sequences on which the saved folder must give the logits of the model in memory. */
function probes({ dev }: TuningPlan): number[][] {
  return Array.from({ length: Math.min(8, dev.answerStarts.length) }, (_, i) => [
    ...dev.tokens.subarray(dev.offsets[i], (dev.offsets[i + 1] as number) - 1),
  ]);
}
