// Rotary positions (Su et al. 2021, arXiv 2104.09864) with the scalings that published checkpoints
// use, from either spelling: rope_parameters (transformers 5), or rope_theta and rope_scaling
// (transformers 4). Both may be there; then they must agree.
import type { RopeType, Rotary } from "../archs/spec.ts";
import type { ConfigReader } from "./config-reader.ts";
import { show } from "./show.ts";
import { isCount, readOption } from "./sizes.ts";

type Settings = Readonly<Record<string, unknown>>;

export interface RotaryPositions {
  /** Of the rotated half dimensions. */
  readonly inverseFrequencies: Float64Array;
  /** Cosines and sines are multiplied by it. */
  readonly rotaryScale: number;
  /** Number of positions for which these frequencies hold. */
  readonly context: number;
  /** The config key that says so, and why no more, where that is not the model's plain context. */
  readonly contextFrom?: string;
}

/** What a scaling needs to know besides its settings. */
interface Plain {
  /** theta^(-2i / n) for the n rotated dimensions. */
  readonly frequencies: Float64Array;
  readonly rotated: number;
  readonly theta: number;
  /** max_position_embeddings */
  readonly context: number;
  /** The length that the model was trained for, where the config says it outside the settings. */
  readonly trained: number | undefined;
  readonly reader: ConfigReader;
}

/**
 * Scalings that depend on the length of the sequence (dynamic, longrope) hold up to the length where they
 * begin to: there the context ends, so that a token's positions never depend on what follows it.
 */
export function rotaryPositions(
  rotary: Rotary,
  dHead: number,
  context: number,
  reader: ConfigReader,
): RotaryPositions {
  if (typeof rotary.theta === "number") {
    const rotated = dimensions(rotary, dHead, 1, reader);
    const frequencies = plainFrequencies(
      rotary.theta,
      rotated,
      dHead,
      rotatedBy(rotary, 1),
      reader,
    );
    return { inverseFrequencies: frequencies, rotaryScale: 1, context };
  }
  const modern = reader.object("rope_parameters");
  const legacy = reader.object("rope_scaling");
  const settings = modern ?? legacy;
  const theta = readTheta(rotary.theta, settings, reader);
  const fraction = rotary.fraction
    ? readFraction(rotary.fraction, settings, reader)
    : wholeHead([modern, legacy], reader);
  const rotated = dimensions(rotary, dHead, fraction, reader);
  const by = rotatedBy(rotary, fraction);
  const frequencies = plainFrequencies(theta, rotated, dHead, by, reader);
  const trained = rotary.trained && readOption(rotary.trained, reader);
  const plain = { frequencies, rotated, theta, context, trained, reader };
  const unscaled = { inverseFrequencies: frequencies, rotaryScale: 1, context };
  const spellings = [modern, legacy].filter((settings) => settings !== undefined);
  const scaled = spellings.map((settings) => scale(plain, settings, rotary));
  const [first = unscaled, second = first] = scaled;
  if (JSON.stringify(first) !== JSON.stringify(second)) {
    throw reader.error("rope_parameters and rope_scaling disagree; remove one of them");
  }
  return first;
}

/** What decides how many dimensions are rotated, for messages. */
function rotatedBy({ dimensions: given, fraction }: Rotary, share: number): string {
  if (given) return `${given.key} says how many`;
  const [key] = [fraction?.key ?? "partial_rotary_factor"].flat();
  return fraction ? `${key} is ${share}` : "all of them are rotated, an even number";
}

function dimensions(rotary: Rotary, dHead: number, fraction: number, reader: ConfigReader): number {
  const { dimensions: given } = rotary;
  if (given === undefined) {
    const rotated = Math.trunc(dHead * fraction);
    if (!rotary.even || rotated % 2 === 0) return rotated;
    throw reader.error(
      `partial_rotary_factor ${fraction} rotates ${rotated} of the ${dHead} dimensions of a head; this family rotates an even number`,
    );
  }
  const count = reader.value(given.key) === undefined ? given.absent : reader.number(given.key);
  if (count > dHead) {
    throw reader.error(`${given.key} is ${count}, but a head has ${dHead} dimensions`);
  }
  return count;
}

/**
 * theta^(-2i / n) for i < n / 2. An odd number n of dimensions makes one pair more of which the last
 * takes a dimension from the rest, as transformers has it.
 */
function plainFrequencies(
  theta: number,
  n: number,
  dHead: number,
  by: string,
  reader: ConfigReader,
): Float64Array {
  const pairs = Math.ceil(n / 2);
  if (theta <= 0) throw reader.error(`rope_theta is ${theta}, expected a positive number`);
  if (!isCount(n) || 2 * pairs > dHead) {
    throw reader.error(
      `cannot rotate ${n} of the ${dHead} dimensions of a head; ${by}, and a head's width is head_dim, or hidden_size / num_attention_heads`,
    );
  }
  return Float64Array.from({ length: pairs }, (_, i) => theta ** ((-2 * i) / n));
}

/** The base of the frequencies. */
function readTheta(
  { key, absent }: Exclude<Rotary["theta"], number>,
  settings: Settings | undefined,
  reader: ConfigReader,
): number {
  const now = settings && optional(settings, "rope_theta", reader);
  const old = oldValue(key, reader);
  if (now !== undefined && old !== undefined && now !== old.value) {
    throw reader.error(`${old.name} is ${old.value}, but the rope settings' rope_theta is ${now}`);
  }
  return now ?? old?.value ?? absent;
}

/** The share of each head that is rotated. transformers 5 leaves a default in the old place. */
function readFraction(
  { key, absent }: NonNullable<Rotary["fraction"]>,
  settings: Settings | undefined,
  reader: ConfigReader,
): number {
  const old = oldValue(key, reader);
  return (settings && optional(settings, "partial_rotary_factor", reader)) ?? old?.value ?? absent;
}

/** What transformers 4 kept outside the settings; of several names those that are there agree. */
function oldValue(key: string | readonly string[], reader: ConfigReader) {
  const found = [key]
    .flat()
    .filter((name) => reader.has(name))
    .map((name) => ({ name, value: reader.number(name) }));
  const [first] = found;
  const other = found.find(({ value }) => value !== first?.value);
  if (first === undefined || other === undefined) return first;
  throw reader.error(`${other.name} is ${other.value}, but ${first.name} is ${first.value}`);
}

function wholeHead(spellings: readonly (Settings | undefined)[], reader: ConfigReader): 1 {
  for (const settings of spellings) {
    const fraction = settings?.partial_rotary_factor ?? 1;
    if (fraction === 1) continue;
    throw reader.error(`the rope setting partial_rotary_factor is ${fraction}; supported here: 1`);
  }
  return 1;
}

const settingsOf: Readonly<Record<RopeType, readonly string[]>> = {
  default: [],
  linear: ["factor"],
  dynamic: ["factor", "original_max_position_embeddings"],
  llama3: ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"],
  yarn: [
    "factor",
    "original_max_position_embeddings",
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
    "truncate",
  ],
  longrope: [
    "factor",
    "original_max_position_embeddings",
    "attention_factor",
    "short_factor",
    "long_factor",
  ],
};

function scale(plain: Plain, settings: Settings, rotary: Rotary): RotaryPositions {
  const { reader } = plain;
  const name = settings.rope_type ?? settings.type ?? "default";
  const types = rotary.types ?? ownNames;
  const type = typeof name === "string" && Object.hasOwn(types, name) ? types[name] : undefined;
  if (type === undefined) {
    throw reader.error(
      `rope type ${show(name)} is not supported; supported: ${Object.keys(types).join(", ")}`,
    );
  }
  const known = ["rope_type", "type", "rope_theta", "partial_rotary_factor", ...settingsOf[type]];
  const unknown = Object.keys(settings).filter((k) => !known.includes(k) && settings[k] !== null);
  if (unknown.length > 0) {
    throw reader.error(`rope settings of type ${name} have the unknown key ${unknown.join(", ")}`);
  }
  return scalings[type](plain, settings);
}

const ownNames = Object.fromEntries(
  (Object.keys(settingsOf) as RopeType[]).map((type) => [type, type]),
);

const scalings: Readonly<Record<RopeType, (p: Plain, s: Settings) => RotaryPositions>> = {
  default: (plain) => positions(plain, (f) => f),
  linear: (plain, settings) => {
    const factor = required(settings, "factor", plain.reader);
    return positions(plain, (f) => f / factor);
  },
  // Changes the base for sequences longer than the model's positions, which do not fit here.
  dynamic: (plain, settings) => {
    required(settings, "factor", plain.reader);
    const contextFrom = `max_position_embeddings; ${changes("dynamic")}`;
    return { ...positions(plain, (f) => f), contextFrom };
  },
  llama3,
  yarn,
  longrope,
};

function positions(
  { frequencies, context }: Plain,
  change: (f: number, i: number) => number,
  rotaryScale = 1,
): RotaryPositions {
  return { inverseFrequencies: frequencies.map(change), rotaryScale, context };
}

/** Keeps high frequencies, divides low ones by `factor`, blends linearly in between (Llama 3.1). */
function llama3(plain: Plain, settings: Settings): RotaryPositions {
  const number = (key: string) => required(settings, key, plain.reader);
  const [factor, low, high] = [
    number("factor"),
    number("low_freq_factor"),
    number("high_freq_factor"),
  ];
  const original = trainedLength(plain, settings);
  return positions(plain, (f) => {
    const turns = (original * f) / (2 * Math.PI);
    const keep = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return ((1 - keep) * f) / factor + keep * f;
  });
}

/**
 * Keeps the dimensions that turn more than beta_fast times over the trained length, divides those
 * that turn less than beta_slow times, blends in between (Peng et al. 2023, arXiv 2309.00071).
 */
function yarn(plain: Plain, settings: Settings): RotaryPositions {
  const { rotated, theta, context, reader } = plain;
  const option = (key: string) => optional(settings, key, reader);
  const original = trainedLength(plain, settings);
  const factor = option("factor") ?? context / original;
  const n = rotated;
  const dimension = (turns: number) =>
    (n * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const whole = settings.truncate ?? true;
  const first = dimension(option("beta_fast") || 32);
  const last = dimension(option("beta_slow") || 1);
  const low = Math.max(whole ? Math.floor(first) : first, 0);
  const high = Math.min(whole ? Math.ceil(last) : last, n - 1);
  const width = low === high ? 0.001 : high - low;
  const magnitude = (by = 1) => (factor <= 1 ? 1 : 0.1 * by * Math.log(factor) + 1);
  const [mscale, all] = [option("mscale"), option("mscale_all_dim")];
  const inferred = mscale && all ? magnitude(mscale) / magnitude(all) : magnitude();
  return positions(
    plain,
    (f, i) => {
      const divide = Math.min(1, Math.max(0, (i - low) / width));
      return (f / factor) * divide + f * (1 - divide);
    },
    option("attention_factor") ?? inferred,
  );
}

/**
 * Divides each frequency by a number of its own (Ding et al. 2024, arXiv 2402.13753): by short_factor
 * up to the trained length. Longer sequences would change all positions to long_factor, so they do
 * not fit: the context ends there.
 */
function longrope(plain: Plain, settings: Settings): RotaryPositions {
  const { context, reader } = plain;
  const original = trainedLength(plain, settings);
  const short = settings.short_factor;
  const count = plain.frequencies.length;
  if (!Array.isArray(short) || short.length !== count || short.some((n) => !(n > 0))) {
    throw reader.error(
      `rope setting short_factor is ${show(short)}, expected ${count} positive numbers`,
    );
  }
  const factor = optional(settings, "factor", reader) ?? context / original;
  const inferred = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
  const rotaryScale = optional(settings, "attention_factor", reader) ?? inferred;
  return {
    ...positions(plain, (f, i) => f / (short[i] as number), rotaryScale),
    context: Math.min(context, original),
    contextFrom: `${original < context ? "original_max_position_embeddings" : "max_position_embeddings"}; ${changes("longrope")}`,
  };
}

const changes = (type: RopeType) =>
  `in longer sequences rope_type ${type} turns every position otherwise, so that a token would depend on what follows it`;

/** The length that the model was trained for before its context was extended. */
function trainedLength({ context, trained, reader }: Plain, settings: Settings): number {
  const length = trained ?? optional(settings, "original_max_position_embeddings", reader);
  return length ?? context;
}

function required(settings: Settings, key: string, reader: ConfigReader): number {
  const value = settings[key];
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw reader.error(`rope setting ${key} is ${show(value)}, expected a number`);
}

function optional(settings: Settings, key: string, reader: ConfigReader): number | undefined {
  if (settings[key] === undefined || settings[key] === null) return undefined;
  return required(settings, key, reader);
}
