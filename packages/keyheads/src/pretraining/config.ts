// The config file of a pretraining run: everything that decides its bits, in one JSON file
// (docs/pretraining.md).
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { KeyheadsError } from "../errors.ts";

const count = z.int().min(1);
const share = z.number().min(0).max(1);
const positive = z.number().positive();

const schema = z.strictObject({
  /** Name of a task card with a training rule. */
  card: z.string(),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1),
  /** LLaMA architecture with tied embeddings. */
  model: z.strictObject({
    layers: count,
    heads: count,
    headWidth: count,
    mlp: count,
    context: count,
  }),
  tokenizer: z.strictObject({
    vocabulary: count,
    /** Documents of the mixture that it is trained on besides the texts. */
    documents: count,
  }),
  texts: z.array(z.strictObject({ file: z.string(), heldOutFrom: z.string() })).min(1),
  /** Shares of the tokens. */
  mixture: z.strictObject({ arithmetic: share, numbers: share, words: share, text: share }),
  /** Shares of the problems. */
  operations: z.strictObject({ add: share, sub: share, mul: share, div: share }),
  /** Of tokens in the loss. */
  weights: z.strictObject({ answer: positive, given: positive, plain: positive }),
  batch: z.strictObject({
    sequences: count,
    length: count,
    /** Share of the documents that are a sequence of their own. */
    alone: share,
  }),
  optimizer: z.strictObject({
    lr: positive,
    warmup: z.int().min(0),
    /** Share of the updates after which the learning rate falls linearly to zero. */
    decayFrom: share,
    betas: z.tuple([share, share]),
    weightDecay: z.number().min(0),
    clip: z.number().min(0),
  }),
  steps: count,
  dtype: z.enum(["f32", "bf16"]),
  evaluateEvery: count,
  checkpointEvery: count,
});

export type PretrainConfig = z.output<typeof schema> & {
  /** Where the file lies; the texts' names are relative to it. */
  readonly folder: string;
};

/** Reads and checks. Throws USAGE, naming the file and every field that does not fit. */
export async function readPretrainConfig(file: string): Promise<PretrainConfig> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(file, "utf8"));
  } catch (cause) {
    const { message } = cause as Error;
    throw new KeyheadsError("USAGE", `cannot read the config ${file}: ${message}`, { cause });
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const reasons = parsed.error.issues.map(
      ({ path, message }) => `  ${path.join(".") || "(whole file)"}: ${message}`,
    );
    throw new KeyheadsError("USAGE", [`${file} is no pretraining config:`, ...reasons].join("\n"));
  }
  const { data } = parsed;
  for (const name of ["mixture", "operations"] as const) {
    const sum = Object.values(data[name]).reduce((total, part) => total + part, 0);
    if (Math.abs(sum - 1) <= 1e-6) continue;
    throw new KeyheadsError("USAGE", `${file}: the shares of ${name} add to ${sum}, expected 1`);
  }
  if (data.batch.length > data.model.context) {
    throw new KeyheadsError(
      "USAGE",
      `${file}: batch.length is ${data.batch.length}, more than model.context, ${data.model.context}`,
    );
  }
  return { ...data, folder: dirname(file) };
}
