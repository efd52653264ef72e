// Outputs of Hugging Face transformers for real models: reference.safetensors with input_ids,
// logits, hidden_states (the embedding, every layer, the last one after the final norm),
// attentions, greedy_ids. Whatever of these is there is compared.
import { join } from "node:path";
import type { FloatArray } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { concatenate, part } from "../float-arrays.ts";
import type { LoadOptions, Model } from "../model.ts";
import { Comparison, type Outcome } from "./comparison.ts";
import { type CleanRun, cleanRun } from "./context.ts";
import { finalNorm } from "./final-norm.ts";
import { TensorFile } from "./goldens.ts";

/**
 * Allowed deviation as a share of the group's largest value, 2^8 roundings of a float32. Measured
 * on the bundled models: at most a fifth of it.
 */
const relativeTolerance = 256 * 2 ** -24;

/** The checks of a reference file, by group. */
export async function verifyReference(
  model: Model,
  folder: string,
  { signal }: LoadOptions,
): Promise<ReadonlyMap<string, () => Promise<Outcome>>> {
  const file = await TensorFile.open(join(folder, "reference.safetensors"));
  const sequences = await file.readRows("input_ids");
  const call = signal ? { signal } : {};
  let run: Promise<CleanRun> | undefined;
  const clean = () => {
    run ??= cleanRun(model, sequences, call);
    return run;
  };
  const against = async (name: string, found: FloatArray): Promise<Outcome> => {
    const expected = await file.read(name);
    const scale = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    const comparison = new Comparison(relativeTolerance * scale);
    comparison.add(found, expected);
    return comparison.outcome;
  };
  const known: Record<string, () => Promise<Outcome>> = {
    logits: async () => await against("logits", (await clean()).logits),
    attentions: async () => await against("attentions", (await clean()).pattern),
    hidden_states: async () =>
      await against("hidden_states", await hiddenStates(model, await clean())),
    greedy_ids: async () => await greedy(model, [...(await file.read("greedy_ids"))], call),
  };
  const names = file.names.filter((name) => name !== "input_ids");
  return new Map(
    names.map((name) => [
      name,
      known[name] ??
        (async () => {
          throw new KeyheadsError(
            "VERIFICATION_FAILED",
            `keyheads does not know what "${name}" is`,
          );
        }),
    ]),
  );
}

/** transformers reports the output of the final norm in place of the last residual stream. */
async function hiddenStates(model: Model, run: CleanRun): Promise<FloatArray> {
  const { layers } = model.spec;
  const streams = Array.from({ length: layers }, (_, i) => part(run.resid, i, layers + 1));
  return concatenate([...streams, await finalNorm(model, run)]);
}

/** greedy_ids begins with one token, from which the rest follow; maxAbs counts wrong ones. */
async function greedy(
  model: Model,
  expected: readonly number[],
  call: { signal?: AbortSignal },
): Promise<Outcome> {
  const [first = 0, ...rest] = expected;
  const found = await model.generate([first], { maxTokens: rest.length, ...call });
  const wrong = new Comparison(0);
  wrong.one(rest.filter((id, i) => found[i] !== id).length);
  return wrong.outcome;
}
