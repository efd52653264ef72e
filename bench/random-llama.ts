// LLaMA-shaped models with random weights, written as Hugging Face folders. The values are bfloat16
// numbers, so that the float32 and the bfloat16 file of one shape are the same model.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type TensorToWrite,
  writeSafetensors,
} from "../packages/keyheads/src/load/write-safetensors.ts";

export interface Shape {
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly mlp: number;
  readonly vocab: number;
  /** The embedding is the unembedding too; false by default. */
  readonly tied?: boolean;
}

export type Dtype = "f32" | "bf16";

/** A folder for models, which `[Symbol.dispose]` removes unless it was given: then models stay. */
export class RandomModels {
  readonly #folder: string;
  readonly #stays: boolean;

  constructor(folder?: string) {
    this.#stays = folder !== undefined;
    this.#folder = folder ?? mkdtempSync(join(tmpdir(), "keyheads-bench-"));
  }

  /** Writes config.json and model.safetensors unless they are there; gives their folder. */
  async write(name: string, shape: Shape, dtype: Dtype): Promise<string> {
    const folder = join(this.#folder, name);
    const weights = join(folder, "model.safetensors");
    if (existsSync(weights)) return folder;
    mkdirSync(folder, { recursive: true });
    const config = {
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      dtype: dtype === "f32" ? "float32" : "bfloat16",
      hidden_act: "silu",
      hidden_size: shape.width,
      intermediate_size: shape.mlp,
      num_hidden_layers: shape.layers,
      num_attention_heads: shape.heads,
      num_key_value_heads: shape.heads,
      vocab_size: shape.vocab,
      max_position_embeddings: 4096,
      rms_norm_eps: 1e-5,
      rope_theta: 10_000,
      tie_word_embeddings: shape.tied ?? false,
      bos_token_id: null,
      eos_token_id: null,
    };
    writeFileSync(join(folder, "config.json"), JSON.stringify(config));
    const tensors = tensorsOf(shape).map(({ name, shape }, seed): TensorToWrite => {
      const norm = shape.length === 1;
      const values = () => randomBytes(shape, norm ? 0.1 : 0.03, norm ? 1 : 0, seed + 1, dtype);
      return { name, dtype: dtype === "f32" ? "F32" : "BF16", shape, data: values };
    });
    await writeSafetensors(weights, tensors);
    return folder;
  }

  [Symbol.dispose](): void {
    if (!this.#stays) rmSync(this.#folder, { recursive: true });
  }
}

/** Weights of the matrices that every token meets, the unembedding left out. */
export function blockParameters({ width, layers, mlp }: Shape): number {
  return layers * (4 * width * width + 3 * width * mlp);
}

function tensorsOf({ width, layers, mlp, vocab, tied = false }: Shape) {
  const layer = (i: number): [string, number[]][] => [
    [`layers.${i}.input_layernorm`, [width]],
    [`layers.${i}.self_attn.q_proj`, [width, width]],
    [`layers.${i}.self_attn.k_proj`, [width, width]],
    [`layers.${i}.self_attn.v_proj`, [width, width]],
    [`layers.${i}.self_attn.o_proj`, [width, width]],
    [`layers.${i}.post_attention_layernorm`, [width]],
    [`layers.${i}.mlp.gate_proj`, [mlp, width]],
    [`layers.${i}.mlp.up_proj`, [mlp, width]],
    [`layers.${i}.mlp.down_proj`, [width, mlp]],
  ];
  const body: [string, number[]][] = [
    ["embed_tokens", [vocab, width]],
    ...Array.from({ length: layers }, (_, i) => layer(i)).flat(),
    ["norm", [width]],
  ];
  return [
    ...body.map(([name, shape]) => ({ name: `model.${name}.weight`, shape })),
    ...(tied ? [] : [{ name: "lm_head.weight", shape: [vocab, width] }]),
  ];
}

/** Uniform values in middle +- spread, cut to bfloat16, in pieces of a few megabytes. */
function* randomBytes(
  shape: readonly number[],
  spread: number,
  middle: number,
  seed: number,
  dtype: Dtype,
): Iterable<Uint8Array> {
  const count = shape.reduce((product, n) => product * n, 1);
  const piece = 1 << 20;
  const values = new Float32Array(piece);
  const bits = new Uint32Array(values.buffer);
  const halves = new Uint16Array(piece);
  let state = Math.imul(seed, 0x9e3779b1) | 1;
  for (let first = 0; first < count; first += piece) {
    const n = Math.min(piece, count - first);
    for (let i = 0; i < n; ++i) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      values[i] = middle + spread * (state / 2 ** 31);
    }
    for (let i = 0; i < n; ++i) {
      const top = (bits[i] as number) >>> 16;
      bits[i] = top << 16;
      halves[i] = top;
    }
    yield dtype === "f32"
      ? new Uint8Array(values.buffer, 0, 4 * n)
      : new Uint8Array(halves.buffer, 0, 2 * n);
  }
}
