// Inverse frequencies of rotary positions (Su et al. 2021, arXiv 2104.09864) with the scalings that
// published checkpoints use, from either spelling: rope_parameters (transformers 5), or rope_theta
// and rope_scaling (transformers 4). Both may be there; then they must agree.
import type { Rotary } from "../archs/spec.ts";
import type { ConfigReader } from "./config-reader.ts";

type Settings = Readonly<Record<string, unknown>>;

/** theta^(-2i / n) for the n rotated dimensions of a head, scaled; n / 2 values. */
export function inverseFrequencies(
  rotary: Rotary,
  dHead: number,
  reader: ConfigReader,
): Float64Array {
  const modern = reader.object("rope_parameters");
  const legacy = reader.object("rope_scaling");
  const theta = agree(rotary.theta.key, rotary.theta.absent, "rope_theta", modern, reader);
  const fraction = rotary.fraction
    ? agree(rotary.fraction.key, rotary.fraction.absent, "partial_rotary_factor", modern, reader)
    : wholeHead(modern, reader);
  const rotated = Math.trunc(dHead * fraction);
  if (theta <= 0 || rotated <= 0 || rotated % 2 !== 0) {
    throw reader.error(`cannot rotate ${rotated} dimensions of a head with theta ${theta}`);
  }
  const plain = Float64Array.from({ length: rotated / 2 }, (_, i) => theta ** ((-2 * i) / rotated));
  const spellings = [modern, legacy].filter((settings) => settings !== undefined);
  const scaled = spellings.map((settings) => scale(plain, settings, reader));
  const [first = plain, second = first] = scaled;
  if (first.some((f, i) => f !== second[i])) {
    throw reader.error("rope_parameters and rope_scaling disagree; remove one of them");
  }
  return first;
}

function agree(
  key: string,
  absent: number,
  modernKey: string,
  modern: Settings | undefined,
  reader: ConfigReader,
): number {
  const old = reader.has(key) ? reader.number(key) : undefined;
  const now = modern?.[modernKey] === undefined ? undefined : numberOf(modern, modernKey, reader);
  if (old !== undefined && now !== undefined && old !== now) {
    throw reader.error(`${key} is ${old}, but rope_parameters.${modernKey} is ${now}`);
  }
  return now ?? old ?? absent;
}

function wholeHead(modern: Settings | undefined, reader: ConfigReader): 1 {
  const fraction = modern?.partial_rotary_factor ?? 1;
  if (fraction === 1) return 1;
  throw reader.error(`rope_parameters.partial_rotary_factor is ${fraction}; supported here: 1`);
}

const settingsOf: Readonly<Record<string, readonly string[]>> = {
  default: [],
  linear: ["factor"],
  llama3: ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
};

function scale(plain: Float64Array, settings: Settings, reader: ConfigReader): Float64Array {
  const type = settings.rope_type ?? settings.type ?? "default";
  const needed = typeof type === "string" ? settingsOf[type] : undefined;
  if (!needed) {
    const known = Object.keys(settingsOf).join(", ");
    throw reader.error(`rope type ${JSON.stringify(type)} is not supported; supported: ${known}`);
  }
  const known = ["rope_type", "type", "rope_theta", "partial_rotary_factor", ...needed];
  const unknown = Object.keys(settings).filter((k) => !known.includes(k) && settings[k] !== null);
  if (unknown.length > 0) {
    throw reader.error(`rope settings of type ${type} have the unknown key ${unknown.join(", ")}`);
  }
  const [factor = 1, low = 1, high = 1, original = 1] = needed.map((key) =>
    numberOf(settings, key, reader),
  );
  if (type === "linear") return plain.map((f) => f / factor);
  if (type === "llama3") return plain.map((f) => llama3(f, factor, low, high, original));
  return plain;
}

/** Keeps high frequencies, divides low ones by `factor`, blends linearly in between (Llama 3.1). */
function llama3(f: number, factor: number, low: number, high: number, original: number): number {
  const turns = (original * f) / (2 * Math.PI);
  const keep = Math.min(1, Math.max(0, (turns - low) / (high - low)));
  return ((1 - keep) * f) / factor + keep * f;
}

function numberOf(settings: Settings, key: string, reader: ConfigReader): number {
  const value = settings[key];
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw reader.error(`rope setting ${key} is ${JSON.stringify(value)}, expected a number`);
}
