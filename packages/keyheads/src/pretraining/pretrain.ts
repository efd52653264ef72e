// Pretraining from scratch: AdamW on every weight, a weighted loss on every token of a mixture that
// is drawn anew for every update. Same config, same bits, also where the run was killed on the way.
import { join } from "node:path";
import { type TaskCard, trainingCards } from "@keyheads/models";
import type { Slice } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";
import { exists } from "../load/safetensors.ts";
import { Model } from "../model.ts";
import { saveModel } from "../save/save-model.ts";
import { rng } from "../statistics/rng.ts";
import { hash } from "../tasks/hash.ts";
import type { Trainer } from "../trainer.ts";
import { checkpointPath, readCheckpoint, writeCheckpoint } from "../tuning/checkpoint.ts";
import { MetricsLog, type MetricsRow } from "../tuning/metrics.ts";
import { warmStableDecay } from "../tuning/schedule.ts";
import { selectSlices } from "../tuning/selection.ts";
import type { PretrainConfig } from "./config.ts";
import { textOf } from "./documents/document.ts";
import { makeTokenizer } from "./make-tokenizer.ts";
import { Mixture, sourcesOf } from "./mixture.ts";
import { makeProbe, type Probe } from "./probe.ts";
import { writeStartModel } from "./start-model.ts";
import { readTexts, type SplitText } from "./texts.ts";
import { pretrainStep } from "./train-step.ts";

export interface PretrainOptions {
  /** Where the run keeps its start, checkpoint, metrics and the model so far. */
  readonly folder: string;
  /** Continue from the checkpoint in `folder`. */
  readonly resume?: boolean;
  readonly threads?: number;
  /** Aborting finishes the update, saves a checkpoint and rejects with CANCELLED. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: PretrainEvent) => void;
}

export type PretrainEvent =
  | { readonly type: "start"; readonly step: number; readonly parameters: number }
  | ({ readonly type: "step"; readonly steps: number } & PretrainRow)
  | { readonly type: "checkpoint"; readonly step: number; readonly path: string };

/** A line of metrics.jsonl; evalLoss is the probe's text loss, evalAccuracy its mean over tasks. */
export interface PretrainRow extends MetricsRow {
  /** Mean over the answer tokens of the update, in nats. */
  readonly answerLoss: number;
  readonly probe?: Probe;
}

export interface PretrainResult {
  readonly parameters: number;
  readonly steps: number;
  readonly loss: readonly number[];
  readonly probe: Probe;
  /** The trained model's folder. */
  readonly model: string;
}

/**
 * Trains the model that a config describes and leaves it in `folder`/model. Throws USAGE and
 * BAD_ITEMS for configs and texts that do not fit, BAD_CHECKPOINT for one of another run, NON_FINITE
 * naming the update, CANCELLED after saving a checkpoint.
 */
export async function pretrain(
  config: PretrainConfig,
  options: PretrainOptions,
): Promise<PretrainResult> {
  const { folder, resume = false } = options;
  const card = cardOf(config.card);
  const texts = await readTexts(config.texts, config.folder);
  const start = join(folder, "start");
  if (!resume) await writeStartModel(start, config, trainTokenizer(config, card, texts));
  else if (!(await exists(start))) throw nothingToResume(folder);
  using model = await Model.load(start, {
    dtype: config.dtype,
    ...(options.threads !== undefined && { threads: options.threads }),
  });
  const slices = selectSlices(model, { everything: true });
  using trainer = await model.createTrainer(slices);
  const loop = new Pretraining(config, options, { model, trainer, slices, card, texts });
  return await loop.run();
}

interface Parts {
  readonly model: Model;
  readonly trainer: Trainer;
  readonly slices: readonly Slice[];
  readonly card: TrainingCard;
  readonly texts: readonly SplitText[];
}

type TrainingCard = TaskCard & Required<Pick<TaskCard, "arithmetic" | "words">>;

/** Throws USAGE for a card that cannot be trained on. */
export function cardOf(name: string): TrainingCard {
  const card = trainingCards[name];
  if (card?.arithmetic && card.words)
    return { ...card, arithmetic: card.arithmetic, words: card.words };
  throw new KeyheadsError(
    "USAGE",
    `there is no training card "${name}"; there is ${Object.keys(trainingCards).join(", ")}`,
  );
}

/** On the trained parts of the texts and on documents of the mixture. */
function trainTokenizer(config: PretrainConfig, card: TrainingCard, texts: readonly SplitText[]) {
  const random = rng(hash(config.seed, "tokenizer"));
  const { arithmetic, numbers, words } = sourcesOf(card, config.operations);
  const documents = Array.from({ length: config.tokenizer.documents }, (_, i) =>
    textOf(([arithmetic, numbers, words][i % 3] as typeof arithmetic)(random)),
  );
  return makeTokenizer(
    [...texts.map(({ trained }) => trained), ...documents],
    config.tokenizer.vocabulary,
  );
}

function nothingToResume(folder: string): KeyheadsError {
  return new KeyheadsError(
    "BAD_CHECKPOINT",
    `${folder} holds no pretraining run: there is nothing to resume; leave resume out to start anew`,
  );
}

function evaluated(probe: Probe) {
  const shares = Object.values(probe.accuracy);
  const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
  return { evalLoss: probe.textLoss, evalAccuracy: mean, probe };
}

/** One run from its first or resumed update to its last. */
class Pretraining {
  readonly config: PretrainConfig;
  readonly options: PretrainOptions;
  readonly parts: Parts;
  readonly losses: number[] = [];
  saved = -1;

  constructor(config: PretrainConfig, options: PretrainOptions, parts: Parts) {
    this.config = config;
    this.options = options;
    this.parts = parts;
  }

  async run(): Promise<PretrainResult> {
    const { config, options, parts, losses } = this;
    const { model, card, texts } = parts;
    const mixture = this.#mixture();
    const evaluate = await makeProbe(model, card, texts);
    if (options.resume && (await exists(checkpointPath(options.folder)))) await this.#resume();
    const metrics = await MetricsLog.open(options.folder, losses.length);
    options.onEvent?.({
      type: "start",
      step: losses.length,
      parameters: model.parameterCount,
    });
    let probe: Probe | undefined;
    while (losses.length < config.steps) {
      if (options.signal?.aborted) throw await this.#cancelled();
      const row = await this.#step(mixture);
      const last = row.step === config.steps;
      probe = last || row.step % config.evaluateEvery === 0 ? await evaluate() : undefined;
      const whole: PretrainRow = { ...row, ...(probe && evaluated(probe)) };
      await metrics.add(whole);
      options.onEvent?.({ type: "step", steps: config.steps, ...whole });
      if (last || row.step % config.checkpointEvery === 0) await this.#save();
    }
    return {
      parameters: model.parameterCount,
      steps: losses.length,
      loss: losses,
      probe: probe ?? (await evaluate()),
      model: join(options.folder, "model"),
    };
  }

  #mixture(): Mixture {
    const { config, parts } = this;
    const { sequences, length, alone } = config.batch;
    return new Mixture(
      {
        card: parts.card,
        operations: config.operations,
        seed: config.seed,
        shares: config.mixture,
        weights: config.weights,
        tokens: sequences * length,
        length,
        alone,
      },
      parts.model.needTokenizer(),
      parts.texts.map(({ trained }) => trained),
    );
  }

  async #step(mixture: Mixture): Promise<PretrainRow> {
    const { config, losses } = this;
    const started = performance.now();
    const { optimizer, steps } = config;
    const lr = optimizer.lr * warmStableDecay(losses.length, steps, optimizer);
    const result = await pretrainStep(this.parts.trainer, mixture.at(losses.length), {
      request: {
        lr,
        beta1: optimizer.betas[0],
        beta2: optimizer.betas[1],
        eps: 1e-8,
        weightDecay: optimizer.weightDecay,
        clip: optimizer.clip,
        gradientScale: 1,
      },
      answerWeight: config.weights.answer,
      name: `update ${losses.length + 1} of ${steps}`,
    });
    losses.push(result.loss);
    const seconds = (performance.now() - started) / 1000;
    return { step: losses.length, lr, ...result, seconds };
  }

  async #resume(): Promise<void> {
    const { parts, options, losses } = this;
    const { slices, trainer } = parts;
    const checkpoint = await readCheckpoint(options.folder, this.#settings(), slices.length);
    // The gradients of a finished update are zero.
    const gradients = checkpoint.state.values.map((values) => values.map(() => 0));
    await trainer.write({ ...checkpoint.state, gradients });
    losses.push(...checkpoint.losses);
    this.saved = checkpoint.step;
  }

  async #save(): Promise<void> {
    const { parts, options, losses } = this;
    const { model, trainer, slices } = parts;
    const step = losses.length;
    if (this.saved === step) return;
    const state = await trainer.read();
    const checkpoint = { step, losses, settings: this.#settings(), state };
    const path = await writeCheckpoint(options.folder, checkpoint, slices);
    await saveModel(model, join(options.folder, "model"), { slices, force: true });
    this.saved = step;
    options.onEvent?.({ type: "checkpoint", step, path });
  }

  async #cancelled(): Promise<KeyheadsError> {
    await this.#save();
    const done = `${this.losses.length} of ${this.config.steps}`;
    return new KeyheadsError(
      "CANCELLED",
      `pretraining stopped after update ${done}; the checkpoint in ${this.options.folder} continues it (resume)`,
    );
  }

  /** What decides the bits of a run. */
  #settings() {
    const { folder: _, evaluateEvery: __, checkpointEvery: ___, ...settings } = this.config;
    return { ...settings, textLengths: this.parts.texts.map(({ trained }) => trained.length) };
  }
}
