// The main job: which heads and MLPs do this task, is it they, what do they look at, and does
// training only them improve it. Plain data out; the command line and the report render it.
import { performance } from "node:perf_hooks";
import { bundledModels } from "@keyheads/models";
import { loadBinding } from "@keyheads/native";
import type { CallOptions, Model } from "../model.ts";
import {
  type ClassAccuracy,
  type RunResult,
  schemaVersion,
  type TransferResult,
} from "../results.ts";
import { cardOf } from "../tasks/build-items.ts";
import type { Template } from "../tasks/template.ts";
import { transfer } from "../validation/transfer.ts";
import { version } from "../version.ts";
import { ask, keyHeadsOf } from "./ask.ts";
import { attempt } from "./attempt.ts";
import { judgeClaims } from "./claims.ts";
import { digitsPlan } from "./digits-plan.ts";
import { evaluateClasses } from "./evaluate-classes.ts";
import { gainFor, type Improvement, improve } from "./improve.ts";
import { itemsPlan } from "./items-plan.ts";
import type { RunPlan } from "./plan.ts";
import type { Stage } from "./run-folder.ts";
import { taskPlan } from "./task-plan.ts";
import { chooseExample, predict, removeHeads, workedExample } from "./worked-example.ts";

export interface RunOptions extends CallOptions {
  /** Names of built-in tasks; the model's default. Not together with `items`. */
  readonly task?: readonly string[];
  /** An items file. */
  readonly items?: string;
  readonly templates?: readonly Template[];
  readonly strict?: boolean;
  readonly seed?: number;
  /** Whether to tune at all; on by default. */
  readonly tune?: boolean;
  /** Folder of the run: the tuned model is saved in its `tuned`. */
  readonly out?: string;
  /** Computes a stage, or gives what an interrupted run computed. */
  readonly stage?: Stage;
  /** What is being done, in words. */
  readonly onStage?: (text: string) => void;
}

export async function runExperiment(model: Model, options: RunOptions = {}): Promise<RunResult> {
  const { seed = 0, signal, onProgress, onStage } = options;
  const started = performance.now();
  const timings: Record<string, number> = {};
  const call: CallOptions = { ...(signal && { signal }), ...(onProgress && { onProgress }) };
  const stage: Stage = async (name, compute) => {
    onStage?.(name);
    const start = performance.now();
    const result = await (options.stage ?? ((_, run) => run()))(name, compute);
    timings[name] = (performance.now() - start) / 1000;
    return result;
  };

  const plan = await makePlan(model, options, seed);
  const experiments = [];
  for (const question of plan.questions) {
    experiments.push(await ask(model, question, { ...call, seed, stage }));
  }
  const [question, experiment] = [plan.questions[0], experiments[0]];
  if (!question || !experiment) throw new RangeError("a run needs at least one task");
  const key = keyHeadsOf(experiment.direct);
  const across = await compareTasks(model, plan, { ...call, seed, stage });

  const before = await stage("evaluate-before", () => evaluateClasses(model, plan.classes, call));
  const item = await chooseExample(model, plan.examples ?? question.test.items);
  const predictions = [
    await predict(model, item, "as it is"),
    await predict(
      model,
      item,
      `without ${key.map(({ layer, head }) => `${layer}.${head}`).join(", ")}`,
      await removeHeads(model, question, key),
    ),
  ];
  const { improvement, reason } = await tuneKeyHeads(model, plan, before, options, {
    run: (tuning, gain) =>
      stage("tuning", async () => {
        const result = await improve(model, { ...plan, tuning }, key, experiment.direct, gain, {
          ...call,
          seed,
          ...(options.out !== undefined && { out: options.out }),
          onMethod: (text) => onStage?.(text),
          whileTuned: async (tuned) => {
            predictions.push(await predict(tuned, item, "after tuning these heads"));
          },
        });
        const prediction = predictions[2];
        return { ...result, ...(prediction && { prediction }) };
      }),
  });
  if (improvement?.prediction && predictions.length === 2) predictions.push(improvement.prediction);

  const { layers, heads, kvHeads, dModel } = model.spec;
  return {
    schemaVersion,
    keyheads: version,
    created: new Date().toISOString(),
    model: {
      ...{ name: model.name, architecture: model.architecture, layers, heads, kvHeads, dModel },
      parameters: model.parameterCount,
      ...(plan.origin !== undefined && { origin: plan.origin }),
      ...(plan.licence !== undefined && { licence: plan.licence }),
    },
    device: model.device,
    ...(model.tf32 && { tf32: true }),
    dtype: model.dtype,
    seed,
    task: across.note ? { ...plan.task, notes: [...plan.task.notes, across.note] } : plan.task,
    experiments,
    evaluation: {
      before,
      after: improvement?.after ?? [],
      description: improvement?.description ?? reason,
    },
    ...(improvement && { tuning: improvement.comparison }),
    ...(across.value && { transfer: across.value }),
    example: await workedExample(model, item, key, predictions),
    claims: judgeClaims({
      experiments,
      missing: plan.missing,
      nullOperator: plan.nullOperator,
      ...(improvement && { tuning: improvement.comparison }),
      noTuning: reason,
    }),
    seconds: (performance.now() - started) / 1000,
    timings,
    peakBytes: loadBinding().memory().peakBytes,
  };
}

/** Whose heads are whose, where a run has several questions. */
async function compareTasks(
  model: Model,
  { questions }: RunPlan,
  { seed, stage, ...call }: CallOptions & { readonly seed: number; readonly stage: Stage },
): Promise<{ value?: TransferResult; note?: string }> {
  if (questions.length < 2) return {};
  const entries = questions.map(({ name, discover, test }) => ({
    model,
    set: {
      name,
      items: [
        ...discover.items.map((item) => ({ ...item, split: "discover" })),
        ...test.items.map((item) => ({ ...item, split: "test" })),
      ],
      dropped: [],
    },
  }));
  const options = { top: 3, positions: "end", answer: "target", onlyCorrect: true } as const;
  return await attempt("Tasks were not compared", () =>
    stage("transfer", () => transfer(entries, { ...call, seed, ...options })),
  );
}

async function makePlan(model: Model, options: RunOptions, seed: number): Promise<RunPlan> {
  if (options.items !== undefined) {
    return await itemsPlan(model, options.items, {
      seed,
      ...(options.strict && { strict: true }),
    });
  }
  const card = cardOf(model);
  const bundled = bundledModels.find(({ name }) => name === model.name);
  const asked = { seed, ...(options.task && { task: options.task }) };
  if (card?.digits) return digitsPlan(model, card, bundled, asked);
  const templates = options.templates;
  return await taskPlan(model, card, bundled, { ...asked, ...(templates && { templates }) });
}

type TuningRun = Improvement & { readonly prediction?: Awaited<ReturnType<typeof predict>> };

/** Tunes where there is something to gain; otherwise says why not. */
async function tuneKeyHeads(
  model: Model,
  plan: RunPlan,
  before: readonly ClassAccuracy[],
  options: RunOptions,
  tune: {
    run(tuning: NonNullable<RunPlan["tuning"]>, gain: number): Promise<TuningRun>;
  },
): Promise<{ improvement?: TuningRun; reason: string }> {
  if (options.tune === false) return { reason: "Tuning was switched off." };
  if (!plan.tuning) {
    return { reason: `${model.name} has no other items on which harm could be seen: not tuned.` };
  }
  const gain = gainFor(before, plan.tuning);
  if (gain === undefined) {
    return { reason: `${plan.tuning.target} is solved already: there is nothing to improve.` };
  }
  return { improvement: await tune.run(plan.tuning, gain), reason: "" };
}
