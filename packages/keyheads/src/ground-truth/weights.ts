// Weights of a small LLaMA written by hand. The residual stream is divided into registers; one constant
// entry, far larger than the rest, keeps the scale of every norm nearly the same, so that a norm hands
// on what it reads. Noise goes into every matrix, and a random rotation of the stream, which norms with
// equal gains do not notice, hides the registers.
import { type Rng, rng } from "../statistics/rng.ts";

export interface Sizes {
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  /** Different symbols; a head carries one and two spare numbers, its keys and queries one and a place. */
  readonly symbols: number;
}

export const roles = ["bos", "end", "a", "b", "c", "relay1", "relay2", "choice", "symbol"] as const;
export type Role = (typeof roles)[number];
/** Registers of one symbol each; `out` is what the unembedding reads. */
export const registers = ["token", "r1", "r2", "r3", "r4", "junk", "out"] as const;
export type Register = (typeof registers)[number];

/** The constant entry of the stream; what registers hold is about 1. */
export const constant = 10;
/** Of the logit that a symbol in `out` gives. */
const logitScale = 10;
/** Slow enough that positions do not turn keys and queries, but for the first pair. */
export const ropeTheta = 1e15;

/** Row-major [rows, columns] by name, as a LLaMA checkpoint names them. */
export type Tensors = Map<string, { shape: readonly number[]; values: Float64Array }>;

export class Stream {
  readonly sizes: Sizes;
  readonly dHead: number;
  readonly dModel: number;
  readonly dMlp: number;
  readonly vocab: number;
  readonly tensors: Tensors = new Map();

  constructor(sizes: Sizes) {
    this.sizes = sizes;
    // One pair of dimensions turns with the position, the others carry symbols and flags.
    this.dHead = sizes.symbols + 4;
    this.dModel = 4 * Math.ceil((2 + roles.length + registers.length * sizes.symbols) / 4);
    this.dMlp = sizes.symbols ** 2 + 4;
    this.vocab = roles.length * sizes.symbols;
    const { heads, kvHeads, layers } = sizes;
    this.#add("model.embed_tokens.weight", this.vocab, this.dModel);
    this.#add("lm_head.weight", this.vocab, this.dModel);
    const gain = constant / Math.sqrt(this.dModel);
    const norm = (name: string) =>
      this.tensors.set(name, {
        shape: [this.dModel],
        values: new Float64Array(this.dModel).fill(gain),
      });
    norm("model.norm.weight");
    for (let layer = 0; layer < layers; ++layer) {
      const at = `model.layers.${layer}`;
      norm(`${at}.input_layernorm.weight`);
      norm(`${at}.post_attention_layernorm.weight`);
      this.#add(`${at}.self_attn.q_proj.weight`, heads * this.dHead, this.dModel);
      this.#add(`${at}.self_attn.k_proj.weight`, kvHeads * this.dHead, this.dModel);
      this.#add(`${at}.self_attn.v_proj.weight`, kvHeads * this.dHead, this.dModel);
      this.#add(`${at}.self_attn.o_proj.weight`, this.dModel, heads * this.dHead);
      this.#add(`${at}.mlp.gate_proj.weight`, this.dMlp, this.dModel);
      this.#add(`${at}.mlp.up_proj.weight`, this.dMlp, this.dModel);
      this.#add(`${at}.mlp.down_proj.weight`, this.dModel, this.dMlp);
    }
    this.#vocabulary();
  }

  /** Where the constant is. */
  readonly constantAt = 0;
  /** Where heads leave word for others: 1 once one has written. */
  readonly flagAt = 1;
  roleAt = (role: Role): number => 2 + roles.indexOf(role);
  registerAt = (register: Register, symbol = 0): number =>
    2 + roles.length + registers.indexOf(register) * this.sizes.symbols + symbol;
  /** The id of a symbol in a role; roles without symbols use symbol 0. */
  token = (role: Role, symbol = 0): number => roles.indexOf(role) * this.sizes.symbols + symbol;

  /** Adds to one entry of a matrix. */
  set(name: string, row: number, column: number, value: number): void {
    const tensor = this.tensors.get(name);
    if (!tensor) throw new RangeError(`there is no tensor ${name}`);
    const at = row * (tensor.shape[1] as number) + column;
    tensor.values[at] = (tensor.values[at] as number) + value;
  }

  #add(name: string, rows: number, columns: number): void {
    this.tensors.set(name, { shape: [rows, columns], values: new Float64Array(rows * columns) });
  }

  /** A token says its role, and its symbol where its role has one. Answers are tokens of `symbol`. */
  #vocabulary(): void {
    const silent: readonly Role[] = ["bos", "end", "relay1", "relay2"];
    for (const role of roles) {
      for (let symbol = 0; symbol < this.sizes.symbols; ++symbol) {
        const id = this.token(role, symbol);
        this.set("model.embed_tokens.weight", id, this.constantAt, constant);
        this.set("model.embed_tokens.weight", id, this.roleAt(role), 1);
        if (silent.includes(role)) continue;
        this.set("model.embed_tokens.weight", id, this.registerAt("token", symbol), 1);
      }
    }
    for (let symbol = 0; symbol < this.sizes.symbols; ++symbol) {
      const id = this.token("symbol", symbol);
      this.set("lm_head.weight", id, this.registerAt("out", symbol), logitScale);
    }
    // What is answered where nothing is known.
    this.set("lm_head.weight", this.token("bos"), this.constantAt, 0.4);
  }
}

/** Standard normal numbers (Box and Muller). */
function normal(random: Rng): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

/**
 * Adds noise of standard deviation level / sqrt(columns) to every matrix but embeddings, where it
 * leaves alone what reads the constant: noise times a large constant would be no noise but a bias.
 */
export function addNoise(stream: Stream, level: number, seed: number): void {
  const random = rng(seed);
  for (const [name, { shape, values }] of stream.tensors) {
    const [, columns] = shape;
    if (columns === undefined || !name.includes("layers")) continue;
    const reads = columns === stream.dModel && !/o_proj|down_proj/.test(name);
    for (let i = 0; i < values.length; ++i) {
      const noise = (level / Math.sqrt(columns)) * normal(random);
      if (reads && i % columns === stream.constantAt) continue;
      values[i] = (values[i] as number) + noise;
    }
  }
}

/** Turns the stream by a random orthogonal matrix, the same for all that reads or writes it. */
export function rotate(stream: Stream, seed: number): void {
  const n = stream.dModel;
  const turn = orthogonal(n, rng(seed));
  for (const [name, tensor] of stream.tensors) {
    const [rows, columns] = tensor.shape;
    if (columns === undefined) continue;
    const writes = /o_proj|down_proj/.test(name);
    const out = new Float64Array(tensor.values.length);
    for (let r = 0; r < (rows as number); ++r) {
      for (let c = 0; c < columns; ++c) {
        const value = tensor.values[r * columns + c] as number;
        if (value === 0) continue;
        for (let j = 0; j < n; ++j) {
          const at = writes ? j * columns + c : r * columns + j;
          out[at] = (out[at] as number) + value * (turn[(writes ? r : c) * n + j] as number);
        }
      }
    }
    tensor.values.set(out);
  }
}

/** Rows of random numbers, made orthonormal one after the other (Gram and Schmidt). */
function orthogonal(n: number, random: Rng): Float64Array {
  const rows = Float64Array.from({ length: n * n }, () => normal(random));
  for (let r = 0; r < n; ++r) {
    const row = rows.subarray(r * n, (r + 1) * n);
    // Twice, so that rounding does not add up.
    for (let pass = 0; pass < 2; ++pass) {
      for (let other = 0; other < r; ++other) {
        const before = rows.subarray(other * n, (other + 1) * n);
        const along = row.reduce((sum, x, i) => sum + x * (before[i] as number), 0);
        for (let i = 0; i < n; ++i) row[i] = (row[i] as number) - along * (before[i] as number);
      }
    }
    const length = Math.hypot(...row);
    for (let i = 0; i < n; ++i) row[i] = (row[i] as number) / length;
  }
  return rows;
}
