// The model that a run starts from, as a Hugging Face folder: normally distributed matrices, norms
// of one, and the tokenizer.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type TensorToWrite, writeSafetensors } from "../load/write-safetensors.ts";
import { writeWhole } from "../run/write-whole.ts";
import { bfloatBits } from "../save/encode.ts";
import { rng } from "../statistics/rng.ts";
import { hash } from "../tasks/hash.ts";
import type { PretrainConfig } from "./config.ts";
import { tokenizerConfig } from "./make-tokenizer.ts";

/** Standard deviation of matrices and embeddings, as transformers initialises LLaMA. */
const deviation = 0.02;

/** Writes config.json, tokenizer files and model.safetensors, stored as bfloat16. */
export async function writeStartModel(
  folder: string,
  config: PretrainConfig,
  tokenizer: object,
): Promise<void> {
  await writeWeights(folder, config, (name, shape) => initial(name, shape, config.seed));
  await writeWhole(join(folder, "tokenizer.json"), json(tokenizer));
  await writeWhole(join(folder, "tokenizer_config.json"), json(tokenizerConfig));
}

/** The same without a tokenizer and with weights of zero: enough to plan a run with. */
export async function writeBlankModel(folder: string, config: PretrainConfig): Promise<void> {
  await writeWeights(folder, config, (_, shape) => zeros(2 * sizeOf(shape)));
}

const json = (value: object) => `${JSON.stringify(value, null, 1)}\n`;

async function writeWeights(
  folder: string,
  config: PretrainConfig,
  dataOf: (name: string, shape: readonly number[]) => TensorToWrite["data"],
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeWhole(join(folder, "config.json"), json(llamaConfig(config)));
  await writeSafetensors(
    join(folder, "model.safetensors"),
    Array.from(shapes(config), ([name, shape]) => ({
      name,
      dtype: "BF16" as const,
      shape,
      data: dataOf(name, shape),
    })),
  );
}

function zeros(bytes: number): () => Iterable<Uint8Array> {
  return function* () {
    const piece = new Uint8Array(2 ** 20);
    for (let left = bytes; left > 0; left -= piece.length) yield piece.subarray(0, left);
  };
}

const sizeOf = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);

/** config.json as transformers writes it for LLaMA. */
export function llamaConfig({ model, tokenizer }: PretrainConfig) {
  const { layers, heads, headWidth, mlp, context } = model;
  return {
    architectures: ["LlamaForCausalLM"],
    attention_bias: false,
    attention_dropout: 0,
    bos_token_id: 0,
    dtype: "bfloat16",
    eos_token_id: 1,
    head_dim: headWidth,
    hidden_act: "silu",
    hidden_size: heads * headWidth,
    initializer_range: deviation,
    intermediate_size: mlp,
    max_position_embeddings: context,
    mlp_bias: false,
    model_type: "llama",
    num_attention_heads: heads,
    num_hidden_layers: layers,
    num_key_value_heads: heads,
    pad_token_id: null,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: true,
    use_cache: true,
    vocab_size: tokenizer.vocabulary,
  };
}

function shapes({ model, tokenizer }: PretrainConfig): Map<string, number[]> {
  const width = model.heads * model.headWidth;
  const all = new Map([["model.embed_tokens.weight", [tokenizer.vocabulary, width]]]);
  for (let i = 0; i < model.layers; ++i) {
    const set = (name: string, ...shape: number[]) =>
      all.set(`model.layers.${i}.${name}.weight`, shape);
    set("input_layernorm", width);
    for (const name of ["q", "k", "v", "o"]) set(`self_attn.${name}_proj`, width, width);
    set("post_attention_layernorm", width);
    set("mlp.gate_proj", model.mlp, width);
    set("mlp.up_proj", model.mlp, width);
    set("mlp.down_proj", width, model.mlp);
  }
  return all.set("model.norm.weight", [width]);
}

/** A vector of ones, or a matrix of normal numbers (Box and Muller 1958). */
function initial(name: string, shape: readonly number[], seed: number): Uint8Array {
  const size = sizeOf(shape);
  const random = rng(hash(seed, "start", name));
  const view = new DataView(new ArrayBuffer(2 * size));
  for (let i = 0; i < size; ++i) {
    const radius = Math.sqrt(-2 * Math.log(1 - random.next()));
    const normal = radius * Math.cos(2 * Math.PI * random.next());
    view.setUint16(2 * i, bfloatBits(shape.length === 1 ? 1 : deviation * normal), true);
  }
  return new Uint8Array(view.buffer);
}
