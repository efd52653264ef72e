// From config.json to what the engine computes. Every key is either read, known to change nothing,
// or an error: a setting that we ignore in silence would be a different model.
import type { ModelSpec } from "@keyheads/native";
import { architectures } from "../archs/index.ts";
import type { ArchSpec, Flag, Size, SizeName } from "../archs/spec.ts";
import { KeyheadsError } from "../errors.ts";
import type { SlotFlags } from "./checkpoint.ts";
import { harmlessKeys, supportedValues } from "./config-keys.ts";
import { ConfigReader } from "./config-reader.ts";
import { inverseFrequencies } from "./rope.ts";

export interface ModelConfig {
  readonly arch: ArchSpec;
  readonly spec: ModelSpec;
  readonly flags: SlotFlags;
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
  const flag = (value: Flag) =>
    typeof value === "boolean" ? value : reader.flag(value.key, value.absent);
  const { choices } = arch;
  const size = readSizes(arch, reader);
  const spec: ModelSpec = {
    ...size,
    norm: choices.norm,
    normPlusOne: false,
    normPlacement: "pre",
    block: "sequential",
    sharedNorm: false,
    qkNorm: "none",
    position: choices.position,
    positionOffset: 0,
    rotaryPairs: "halves",
    rotaryScale: 1,
    experts: 0,
    expertsPerToken: 0,
    scoreCap: 0,
    logitCap: 0,
    embedScale: 1,
    windows: new Int32Array(size.layers),
    inverseFrequencies: arch.rotary
      ? inverseFrequencies(arch.rotary, size.dHead, reader)
      : new Float64Array(0),
    activation: readActivation(arch, reader),
    gated: choices.gated,
    attentionScale: flag(choices.scaledScores) ? 1 / Math.sqrt(size.dHead) : 1,
    tied: flag(choices.tied),
  };
  const flags = {
    qkvBias: flag(choices.qkvBias),
    outBias: flag(choices.outBias),
    mlpBias: flag(choices.mlpBias),
  };
  checkSupported(arch, reader);
  if (!options.allowUnknownConfig) checkUnknown(arch, reader);
  return { arch, spec, flags };
}

function findArchitecture(config: Readonly<Record<string, unknown>>, path: string): ArchSpec {
  const { architectures: names, model_type: type } = config;
  const name = Array.isArray(names) ? (names[0] as unknown) : undefined;
  const found = architectures.find((arch) =>
    name === undefined ? arch.modelType === type : arch.huggingface.includes(name as string),
  );
  if (found) return found;
  const known = architectures.flatMap((arch) => arch.huggingface).join(", ");
  const what = name === undefined ? `model_type ${JSON.stringify(type)}` : JSON.stringify(name);
  throw new KeyheadsError(
    "UNKNOWN_ARCHITECTURE",
    `${path}: the architecture ${what} is not known; known: ${known}. A new family is one data file in packages/keyheads/src/archs`,
  );
}

function readSizes(arch: ArchSpec, reader: ConfigReader): Record<SizeName, number> {
  const read = (size: Size): number => {
    if (typeof size === "number") return size;
    if (typeof size === "string") return reader.number(size);
    if (reader.has(size.key)) return reader.number(size.key);
    const { absent } = size;
    if (typeof absent === "number") return absent;
    if (typeof absent === "string") return reader.number(absent);
    const of = reader.number(absent.of);
    if ("times" in absent) return absent.times * of;
    return reader.divide(absent.of, absent.dividedBy);
  };
  const entries = Object.entries(arch.sizes).map(([name, size]) => {
    const value = read(size);
    const ok = name === "normEps" ? value >= 0 : Number.isInteger(value) && value > 0;
    if (!ok) throw reader.error(`${name} (${JSON.stringify(size)}) is ${value}`);
    return [name, value] as const;
  });
  const sizes = Object.fromEntries(entries) as Record<SizeName, number>;
  if (sizes.heads % sizes.kvHeads !== 0) {
    throw reader.error(
      `${sizes.heads} query heads cannot share ${sizes.kvHeads} key/value heads evenly`,
    );
  }
  return sizes;
}

/** Hugging Face's names of activations. */
const activations: Readonly<Record<string, ModelSpec["activation"]>> = {
  gelu: "gelu",
  gelu_python: "gelu",
  gelu_new: "gelu_new",
  gelu_pytorch_tanh: "gelu_new",
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
  throw reader.error(`${key} is ${JSON.stringify(name)}; known: ${known}`);
}

function checkSupported(arch: ArchSpec, reader: ConfigReader): void {
  for (const [key, values] of Object.entries({ ...supportedValues, ...arch.supported })) {
    if (!reader.has(key)) continue;
    const value = reader.value(key);
    if (!values.some((supported) => JSON.stringify(supported) === JSON.stringify(value))) {
      throw reader.error(
        `${key} is ${JSON.stringify(value)}, which changes what the model computes; supported: ${values.map((v) => JSON.stringify(v)).join(", ")}`,
      );
    }
  }
}

function checkUnknown(arch: ArchSpec, reader: ConfigReader): void {
  const known = new Set([...harmlessKeys, ...arch.harmless]);
  const unknown = reader.unread().filter((key) => !known.has(key));
  if (unknown.length === 0) return;
  const shown = unknown.map((key) => `${key} = ${JSON.stringify(reader.value(key))}`).join(", ");
  throw reader.error(
    `keyheads does not know whether ${shown} changes what a ${arch.name} model computes; if not, load it with allowUnknownConfig`,
  );
}
