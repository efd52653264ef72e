// From config.json to what the engine computes. Every key is either read, known to change nothing,
// or an error: a setting that we ignore in silence would be a different model.
import type { ModelSpec } from "@keyheads/native";
import { architectures } from "../archs/index.ts";
import type { ArchSpec, Choices, Flag, Supported } from "../archs/spec.ts";
import { KeyheadsError } from "../errors.ts";
import { harmlessKeys, supportedValues } from "./config-keys.ts";
import { ConfigReader } from "./config-reader.ts";
import type { SlotFlags } from "./map-slots.ts";
import { rotaryPositions } from "./rope.ts";
import { show } from "./show.ts";
import { isCount, mostExperts, readFlag, readOption, readSize, readSizes } from "./sizes.ts";
import { readWindows } from "./windows.ts";

export interface ModelConfig {
  readonly arch: ArchSpec;
  readonly spec: ModelSpec;
  readonly flags: SlotFlags;
  /** The config key that limits the context, and why, for messages. */
  readonly contextFrom: string;
}

export interface ConfigOptions {
  /** Accept config keys that keyheads does not know, at the caller's risk. */
  readonly allowUnknownConfig?: boolean;
}

/**
 * Reads the settings of a parsed config.json; `path` is for messages.
 * Throws UNKNOWN_ARCHITECTURE, or BAD_CHECKPOINT naming the key, its value and what was expected.
 */
export function readConfig(
  config: Readonly<Record<string, unknown>>,
  path: string,
  options: ConfigOptions = {},
): ModelConfig {
  const arch = findArchitecture(config, path);
  const reader = new ConfigReader(config, path);
  const { contextFrom, ...spec } = readSpec(arch, reader);
  const { qkvBias, outBias, mlpBias, unembedBias = false } = arch.choices;
  const flags = {
    qkvBias: readFlag(qkvBias, reader),
    outBias: readFlag(outBias, reader),
    mlpBias: readFlag(mlpBias, reader),
    unembedBias,
  };
  checkSupported(arch, reader);
  if (!options.allowUnknownConfig) checkUnknown(arch, reader);
  return { arch, spec, flags, contextFrom };
}

function findArchitecture(config: Readonly<Record<string, unknown>>, path: string): ArchSpec {
  const { architectures: names, model_type: type } = config;
  const name = Array.isArray(names) ? (names[0] as unknown) : undefined;
  const found = architectures.find((arch) =>
    name === undefined ? arch.modelType === type : arch.huggingface.includes(name as string),
  );
  if (found) return found;
  const known = architectures.flatMap((arch) => arch.huggingface).join(", ");
  const what = name === undefined ? `model_type ${show(type)}` : show(name);
  throw new KeyheadsError(
    "UNKNOWN_ARCHITECTURE",
    `${path}: the architecture ${what} is not known; known: ${known}. A new family is one data file in packages/keyheads/src/archs`,
  );
}

function readSpec(arch: ArchSpec, reader: ConfigReader): ModelSpec & { contextFrom: string } {
  const { choices, rotary } = arch;
  const sizes = readSizes(arch, reader);
  const flag = (value: Flag | undefined) => readFlag(value ?? false, reader);
  const cap = (value: Choices["scoreCap"]) => (value && readOption(value, reader)) ?? 0;
  const learned = { inverseFrequencies: new Float64Array(0), rotaryScale: 1 };
  const { context } = arch.sizes;
  const contextKey = typeof context === "object" && "key" in context ? context.key : show(context);
  return {
    ...sizes,
    contextFrom: contextKey,
    norm: choices.norm,
    normPlacement: choices.normPlacement ?? "pre",
    normPlusOne: choices.normPlusOne ?? false,
    block: flag(choices.parallel) ? "parallel" : "sequential",
    sharedNorm: flag(choices.sharedNorm),
    qkNorm: readQkNorm(choices.qkNorm, reader),
    position: choices.position,
    positionOffset: arch.positionOffset ?? 0,
    rotaryPairs: rotary?.pairs ?? "halves",
    ...(rotary ? rotaryPositions(rotary, sizes.dHead, sizes.context, reader) : learned),
    activation: readActivation(arch, reader),
    gated: choices.gated,
    ...readExperts(choices.experts, reader),
    attentionScales: readScales(choices, sizes, reader),
    scoreCap: cap(choices.scoreCap),
    logitCap: cap(choices.logitCap),
    embedScale: choices.scaledEmbedding ? Math.sqrt(sizes.dModel) : 1,
    windows: readWindows(choices.windows, sizes.layers, reader),
    tied: flag(choices.tied),
  };
}

function readQkNorm(choice: Choices["qkNorm"], reader: ConfigReader): ModelSpec["qkNorm"] {
  if (typeof choice !== "object") return choice ?? "none";
  return readFlag(choice.when, reader) ? choice.kind : "none";
}

function readExperts(choice: Choices["experts"], reader: ConfigReader) {
  if (choice === undefined) return { experts: 0, expertsPerToken: 0 };
  const experts = readSize(choice.count, reader);
  const expertsPerToken = readSize(choice.perToken, reader);
  if (!isCount(experts) || !isCount(expertsPerToken) || expertsPerToken > experts) {
    throw reader.error(`each token cannot use ${expertsPerToken} of ${experts} experts`);
  }
  if (experts > mostExperts) throw reader.error(`${experts} experts are more than ${mostExperts}`);
  return { experts, expertsPerToken };
}

function readScales(
  choices: Choices,
  { layers, dHead }: { readonly layers: number; readonly dHead: number },
  reader: ConfigReader,
): Float64Array {
  const scale = readScale(choices, dHead, reader);
  const byLayer = readFlag(choices.scoresDividedByLayer ?? false, reader);
  return Float64Array.from({ length: layers }, (_, layer) => scale / (byLayer ? layer + 1 : 1));
}

function readScale(choices: Choices, dHead: number, reader: ConfigReader): number {
  const { scaledScores = true, scoresDividedByRootOf: by } = choices;
  if (!readFlag(scaledScores, reader)) return 1;
  const square = by ? readSize(by, reader) : dHead;
  if (square > 0) return 1 / Math.sqrt(square);
  throw reader.error(`${by?.key} is ${square}, expected a positive number`);
}

/** Hugging Face's names of activations. */
const activations: Readonly<Record<string, ModelSpec["activation"]>> = {
  gelu: "gelu",
  gelu_python: "gelu",
  gelu_new: "gelu_new",
  gelu_pytorch_tanh: "gelu_new",
  gelu_python_tanh: "gelu_new",
  gelu_accurate: "gelu_new",
  gelu_fast: "gelu_new",
  relu: "relu",
  silu: "silu",
  swish: "silu",
};

function readActivation(arch: ArchSpec, reader: ConfigReader): ModelSpec["activation"] {
  const { key, absent } = arch.choices.activation;
  const name = reader.has(key) ? reader.value(key) : absent;
  const found = typeof name === "string" ? activations[name] : undefined;
  if (found) return found;
  const known = Object.keys(activations).join(", ");
  throw reader.error(`${key} is ${show(name)}; known: ${known}`);
}

function checkSupported(arch: ArchSpec, reader: ConfigReader): void {
  for (const [key, rule] of Object.entries<Supported>({
    ...supportedValues,
    ...arch.supported,
  })) {
    if (!reader.has(key)) continue;
    const value = reader.value(key);
    const values =
      "sameAs" in rule ? [reader.number(rule.sameAs)] : "only" in rule ? rule.only : rule;
    if (!values.some((supported) => show(supported) === show(value))) {
      const known = values.map((v) => show(v)).join(", ");
      const other = "sameAs" in rule ? ` (${rule.sameAs})` : "";
      const why = "why" in rule && rule.why ? `: ${rule.why}` : "";
      throw reader.error(
        `${key} is ${show(value)}, which changes what the model computes; supported: ${known}${other}${why}`,
      );
    }
  }
}

function checkUnknown(arch: ArchSpec, reader: ConfigReader): void {
  const known = new Set([...harmlessKeys, ...arch.harmless]);
  const unknown = reader.unread().filter((key) => !known.has(key));
  if (unknown.length === 0) return;
  const shown = unknown.map((key) => `${key} = ${show(reader.value(key))}`).join(", ");
  throw reader.error(
    `keyheads does not know whether ${shown} changes what a ${arch.name} model computes; if not, load it with allowUnknownConfig`,
  );
}
