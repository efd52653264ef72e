// Clean forward passes: logits, what the hooks see, the padded batch given unpadded, float64, and
// the other spelling of the config.
import type { FloatArray } from "@keyheads/native";
import { concatenate } from "../float-arrays.ts";
import { Comparison } from "./comparison.ts";
import type { Check, CleanRun, VerifyContext } from "./context.ts";
import { finalNorm } from "./final-norm.ts";

const captured =
  (batch: "input_ids" | "cf.input_ids", take: (run: CleanRun) => FloatArray): Check =>
  async (context, name) =>
    context.compare(name, take(await context.run(batch)), await context.tensors.read(name));

/** Logits of a run that nobody looks into, and of the same run with every hook captured. */
const logits =
  (batch: "input_ids" | "cf.input_ids"): Check =>
  async (context, name) => {
    const expected = await context.tensors.read(name);
    const comparison = new Comparison(context.tolerance(name));
    const run = await context.run(batch);
    comparison.add(run.logits, expected);
    comparison.add(await plainLogits(context, run.sequences), expected);
    return comparison.outcome;
  };

const normed: Check = async (context, name) => {
  const found = await finalNorm(context.model, await context.run("input_ids"));
  return context.compare(name, found, await context.tensors.read(name));
};

/** The engine has no padding: every row is given as the shorter sequence that it stands for. */
const padLogits: Check = async (context, name) => {
  const rows = await context.tensors.readRows("pad.input_ids");
  const masks = await context.tensors.readRows("pad.attention_mask");
  const expected = await context.tensors.read(name);
  const sequences = rows.map((row, r) => row.filter((_, t) => masks[r]?.[t] === 1));
  const found = await plainLogits(context, sequences);
  const { vocab } = context.model.spec;
  const wanted = masks.flat().flatMap((mask, row) => (mask === 1 ? [row] : []));
  const kept = wanted.map((row) => expected.subarray(row * vocab, (row + 1) * vocab));
  return context.compare(name, found, concatenate(kept));
};

/** Measured 1e-13 on logits of up to 9; float32 is 1e-5 away. */
const float64Tolerance = 1e-11;

const float64Logits: Check = async (context, name) => {
  using model = await context.loadAgain({ dtype: "f64", device: "cpu" });
  const { logits: found } = await model.forward({
    sequences: await context.tensors.readRows("input_ids"),
    readout: { rows: "all", logits: "all" },
    ...context.call,
  });
  const comparison = new Comparison(float64Tolerance);
  comparison.add(found as FloatArray, await context.tensors.read(name));
  return comparison.outcome;
};

/**
 * Weights kept as bfloat16, everything else in float32: at least as near to float64 as transformers
 * is when it computes in bfloat16 throughout. (Its own logits are one sequence of roundings.) On a
 * GPU attention rounds its operands as transformers does, so that errors are of the same size, and
 * the largest of one sample may be up to twice that of the other.
 */
const bfloat16Logits: Check = async (context) => {
  using model = await context.loadAgain({ dtype: "bf16" });
  const found = await plainLogits(context, await context.tensors.readRows("input_ids"), model);
  const margin = model.device === "cpu" ? 1 : 2;
  const comparison = new Comparison(margin * context.goldens.settings.bfloat16_deviation.max_abs);
  comparison.add(found, await context.tensors.read("logits_f64"));
  return comparison.outcome;
};

/** Both spellings of the config describe the same model: the same bits. */
export const otherConfig: Check = async (context) => {
  using model = await context.loadAgain({ configFile: "config_v4.json" });
  const run = await context.run("input_ids");
  const comparison = new Comparison(context.betweenRuns);
  comparison.add(await plainLogits(context, run.sequences, model), run.logits);
  return comparison.outcome;
};

async function plainLogits(
  context: VerifyContext,
  sequences: readonly (readonly number[])[],
  model = context.model,
): Promise<FloatArray> {
  const readout = { rows: "all", logits: "all" } as const;
  const { logits: found } = await model.forward({ sequences, readout, ...context.call });
  return found as FloatArray;
}

export const forwardChecks: Readonly<Record<string, Check>> = {
  logits: logits("input_ids"),
  logits_f64: float64Logits,
  logits_bf16: bfloat16Logits,
  resid: captured("input_ids", (run) => run.resid),
  final_norm: normed,
  attn_pattern: captured("input_ids", (run) => run.pattern),
  z: captured("input_ids", (run) => run.z),
  mlp_out: captured("input_ids", (run) => run.mlp),
  "cf.logits": logits("cf.input_ids"),
  "cf.z": captured("cf.input_ids", (run) => run.z),
  "cf.mlp_out": captured("cf.input_ids", (run) => run.mlp),
  "pad.logits": padLogits,
};
