// Loss, gradients of every weight, and AdamW steps: full, masked, three in a row.
import type { FloatArray, Slice } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import { readRows } from "../save/stored.ts";
import type { Trainer } from "../trainer.ts";
import { wholeSlice } from "../tuning/slots.ts";
import { Comparison } from "./comparison.ts";
import type { Check, VerifyContext } from "./context.ts";
import { slicesOf, storedTensors } from "./stored-tensors.ts";

const loss: Check = async (context, name) => {
  const [expected = Number.NaN] = await context.tensors.read(name);
  // Below this one rounding of a float32 decides.
  const rounding = 8 * 2 ** -24 * Math.abs(expected);
  const comparison = new Comparison(Math.max(context.tolerance(name), rounding));
  const objective = await lossOf(context);
  const { objective: found } = await context.model.backward({ ...objective, gradients: [] });
  comparison.add([found], [expected]);
  return comparison.outcome;
};

const gradients: Check = async (context) => {
  const { model } = context;
  const slices = everything(model);
  using trainer = await model.createTrainer(slices);
  await trainer.accumulate(await lossOf(context));
  const state = await trainer.read();
  const comparison = new Comparison(context.tolerance("grad"));
  const found = storedTensors(model.files, slices, state.gradients);
  checkNames(context, "grad", found);
  for (const [tensor, gradient] of found) {
    comparison.add(gradient, await context.tensors.read(`grad/${tensor}`));
  }
  return comparison.outcome;
};

const fullStep: Check = async (context) => {
  using model = await context.loadAgain();
  const slices = everything(model);
  using trainer = await model.createTrainer(slices);
  const noise = await step(context, trainer);
  const comparison = new Comparison(context.tolerance("adamw_full"));
  const after = await weights(model);
  checkNames(context, "adamw_full", after);
  for (const [tensor, found] of after) {
    const expected = await context.tensors.read(`adamw_full/${tensor}`);
    comparison.add(found, expected, await allowance(context, tensor, noise));
  }
  return comparison.outcome;
};

/** Selected entries get the value of the full step, all others keep their bits. */
const maskedStep: Check = async (context) => {
  using model = await context.loadAgain();
  const before = await weights(model);
  const { slices: golden } = context.goldens.settings.masked;
  const slices = golden.flatMap((slice) => slicesOf(model.files, model.spec, slice));
  using trainer = await model.createTrainer(slices);
  const noise = await step(context, trainer);
  const comparison = new Comparison(context.tolerance("adamw_full"));
  const ones = slices.map((slice) => new Float32Array(sizeOf(slice)).fill(1));
  const selected = storedTensors(model.files, slices, ones);
  for (const [tensor, found] of await weights(model)) {
    const mask = selected.get(tensor) ?? new Float64Array(found.length);
    const old = before.get(tensor) as Float64Array;
    const key = `adamw_masked/${tensor}`;
    if (context.tensors.has(key) || !mask.includes(0)) {
      const expected = await context.tensors.read(
        context.tensors.has(key) ? key : `adamw_full/${tensor}`,
      );
      const allowed = await allowance(context, tensor, noise);
      comparison.add(found, expected, (i) => (mask[i] === 0 ? 0 : allowed(i)));
    } else if (mask.includes(1)) {
      throw missing(key);
    }
    comparison.add(found, old, (i) => (mask[i] === 0 ? 0 : Number.POSITIVE_INFINITY));
  }
  return comparison.outcome;
};

const threeSteps: Check = async (context, name) => {
  using model = await context.loadAgain();
  using trainer = await model.createTrainer(everything(model));
  const noise = await step(context, trainer);
  await takeGoldenNoise(context, trainer, noise);
  await step(context, trainer);
  await step(context, trainer);
  const comparison = new Comparison(context.tolerance(name));
  const after = await weights(model);
  for (const key of context.tensors.names.filter((key) => key.startsWith(`${name}/`))) {
    const tensor = key.slice(name.length + 1);
    const expected = await context.tensors.read(key);
    const allowed = await allowance(context, tensor, noise, 3);
    comparison.add(after.get(tensor) ?? [], expected, allowed);
  }
  return comparison.outcome;
};

/** Mean cross-entropy over all pairs of neighbours whose label counts. */
async function lossOf(context: VerifyContext) {
  const sequences = await context.tensors.readRows("input_ids");
  const labels = await context.tensors.readRows("labels");
  const length = labels[0]?.length ?? 0;
  const pairs = labels.flatMap((row, b) =>
    row.flatMap((label, t) => (t > 0 && label !== -100 ? [[b * length + t - 1, label]] : [])),
  ) as [row: number, label: number][];
  return {
    sequences,
    objective: {
      kind: "cross-entropy",
      rows: Int32Array.from(pairs, ([row]) => row),
      targets: Int32Array.from(pairs, ([, label]) => label),
      weights: Float64Array.from(pairs, () => 1 / pairs.length),
    },
    ...context.call,
  } as const;
}

/** One AdamW step as golden.json says; gives the gradients that it took, by stored tensor. */
async function step(
  context: VerifyContext,
  trainer: Trainer<Slice>,
): Promise<ReadonlyMap<string, Float64Array>> {
  const { adamw } = context.goldens.settings;
  await trainer.accumulate(await lossOf(context));
  const { gradients: found } = await trainer.read();
  await trainer.update({
    lr: adamw.lr,
    beta1: adamw.betas[0],
    beta2: adamw.betas[1],
    eps: adamw.eps,
    weightDecay: adamw.weight_decay,
    clip: 0,
    gradientScale: 1,
  });
  return storedTensors(trainer.model.files, trainer.slices, found);
}

/**
 * AdamW turns a gradient of any size into a step of about lr, so where the gradient is rounding
 * noise (in the golden run or in ours) the sign of each step is arbitrary.
 */
async function allowance(
  context: VerifyContext,
  tensor: string,
  noise: ReadonlyMap<string, Float64Array>,
  steps = 1,
): Promise<(index: number) => number | undefined> {
  const golden = await context.tensors.read(`grad/${tensor}`);
  const ours = noise.get(tensor);
  const tiny = (g = 0) => g !== 0 && Math.abs(g) <= 1e-6;
  const allowed = 2 * steps * context.goldens.settings.adamw.lr;
  return (i) => (tiny(golden[i]) || tiny(ours?.[i]) ? allowed : undefined);
}

/**
 * Gives entries whose first step was rounding noise the golden values: from a step in the other
 * direction the next ones would be those of another model.
 */
async function takeGoldenNoise(
  context: VerifyContext,
  trainer: Trainer<Slice>,
  noise: ReadonlyMap<string, Float64Array>,
): Promise<void> {
  const { model, slices } = trainer;
  const state = await trainer.read();
  const starts: number[] = [];
  let count = 0;
  const numbers = state.values.map((values) => {
    starts.push(count);
    return Float64Array.from(values, () => count++);
  });
  for (const [tensor, numbered] of storedTensors(model.files, slices, numbers)) {
    const golden = await context.tensors.read(`adamw_full/${tensor}`);
    const allowed = await allowance(context, tensor, noise);
    for (const [i, number] of numbered.entries()) {
      if (allowed(i) === undefined) continue;
      const slice = starts.findLastIndex((start) => start <= number);
      const values = state.values[slice] as FloatArray;
      values[number - (starts[slice] as number)] = golden[i] as number;
    }
  }
  await trainer.write(state);
}

/** Goldens of tensors that the model does not have would go unread. */
function checkNames(
  { tensors }: VerifyContext,
  group: string,
  known: ReadonlyMap<string, unknown>,
): void {
  const names = tensors.names.filter((key) => key.startsWith(`${group}/`));
  const stray = names.find((key) => !known.has(key.slice(group.length + 1)));
  if (stray) {
    throw new KeyheadsError("BAD_CHECKPOINT", `the model has no tensor for the golden "${stray}"`);
  }
}

const missing = (key: string) =>
  new KeyheadsError(
    "BAD_CHECKPOINT",
    `the goldens have no "${key}", though golden.json selects a part of it`,
  );

const everything = (model: Model): Slice[] =>
  model.files.slots.map((slot) => wholeSlice(slot, model.spec));

const sizeOf = ({ rows, columns }: Slice) => (rows[1] - rows[0]) * (columns[1] - columns[0]);

/** Every weight of the model as the tensors of its files. */
async function weights(model: Model): Promise<ReadonlyMap<string, Float64Array>> {
  const values: FloatArray[] = [];
  for (const slot of model.files.slots) values.push(await readRows(model, slot));
  return storedTensors(model.files, everything(model), values);
}

export const trainingChecks: Readonly<Record<string, Check>> = {
  loss,
  grad: gradients,
  adamw_full: fullStep,
  adamw_masked: maskedStep,
  adamw_3steps: threeSteps,
};
