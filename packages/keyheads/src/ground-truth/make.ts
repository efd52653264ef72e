// A ground-truth model as a Hugging Face folder that every command reads: config.json,
// model.safetensors, items.jsonl and ground_truth.json.
import { join } from "node:path";
import { KeyheadsError } from "../errors.ts";
import { writeSafetensors } from "../load/write-safetensors.ts";
import { writeWhole } from "../run/write-whole.ts";
import { outputFolder } from "../save/output-folder.ts";
import { type Rng, rng } from "../statistics/rng.ts";
import type { RawItem } from "../tasks/items.ts";
import { type Case, type Circuit, headName, type Places, type Question } from "./case.ts";
import { cases } from "./cases/index.ts";
import { addNoise, ropeTheta, rotate, Stream } from "./weights.ts";

export interface GroundTruthOptions {
  /** 4; at least what the case's parts need. */
  readonly layers?: number;
  /** 4 */
  readonly heads?: number;
  /** Key/value heads: as many as heads by default. */
  readonly kvHeads?: number;
  /** Standard deviation of the noise in a matrix, times the square root of its columns; 0. */
  readonly noise?: number;
  /** 48 */
  readonly items?: number;
  readonly seed?: number;
}

export interface GroundTruth {
  readonly case: string;
  readonly about: string;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly noise: number;
  readonly seed: number;
  /** Every part of the circuit, and which exact measure sees it. */
  readonly circuit: {
    readonly heads: readonly { head: string; does: string; direct: boolean; total: boolean }[];
    readonly mlps: readonly { mlp: number; does: string; direct: boolean; total: boolean }[];
    /** `total`: changing this edge alone has an effect. */
    readonly edges: readonly { from: string; to: string; total: boolean }[];
  };
  readonly why: Case["why"];
}

const symbols = 6;

export const groundTruthCases: readonly string[] = cases.map(({ name }) => name);

/**
 * Writes the model of a case; gives what is to be found. Throws BAD_ARGUMENT for a case or sizes that
 * do not exist, OUTPUT_EXISTS without force.
 */
export async function writeGroundTruth(
  name: string,
  out: string,
  options: GroundTruthOptions & { readonly force?: boolean } = {},
): Promise<GroundTruth> {
  const one = findCase(name);
  const sizes = checkSizes(one, options);
  const { seed = 0, noise = 0, items = 48 } = options;
  const stream = new Stream({ ...sizes, symbols });
  const circuit = one.build(stream, placesOf(one, sizes, rng(seed)));
  addNoise(stream, noise, seed + 1);
  rotate(stream, seed + 2);
  const truth = describe(one, circuit, { ...sizes, noise, seed });
  await outputFolder(out, options, async (folder) => {
    const write = (file: string, text: string) => writeWhole(join(folder, file), text);
    await write("config.json", `${JSON.stringify(configOf(stream), null, 2)}\n`);
    await writeSafetensors(join(folder, "model.safetensors"), tensorsOf(stream));
    const lines = itemsOf(one, stream, items, rng(seed + 3));
    await write("items.jsonl", lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    await write("ground_truth.json", `${JSON.stringify(truth, null, 2)}\n`);
  });
  return truth;
}

function findCase(name: string): Case {
  const found = cases.find((one) => one.name === name);
  if (found) return found;
  throw new KeyheadsError(
    "BAD_ARGUMENT",
    `there is no case "${name}"; there are ${groundTruthCases.join(", ")}`,
  );
}

function checkSizes({ name, depth }: Case, options: GroundTruthOptions) {
  const { layers = 4, heads = 4, kvHeads = heads, noise = 0, items = 48 } = options;
  const fail = (why: string) => new KeyheadsError("BAD_ARGUMENT", `${name}: ${why}`);
  if (!(Number.isInteger(layers) && layers >= depth)) {
    throw fail(`${layers} layers; its parts need at least ${depth}`);
  }
  if (
    !(Number.isInteger(heads) && Number.isInteger(kvHeads) && kvHeads >= 2 && heads % kvHeads === 0)
  ) {
    throw fail(
      `${heads} heads on ${kvHeads} key/value heads; expected at least 2 of these, each for as many heads`,
    );
  }
  if (!(noise >= 0 && Number.isFinite(noise))) throw fail(`noise ${noise}; expected 0 or more`);
  if (!(Number.isInteger(items) && items >= 1)) throw fail(`${items} items; expected at least 1`);
  return { layers, heads, kvHeads };
}

/** Layers spread over the depth, heads drawn; two heads of a layer are of different groups. */
function placesOf(
  { depth }: Case,
  { layers, heads, kvHeads }: { layers: number; heads: number; kvHeads: number },
  random: Rng,
): Places {
  const chosen = random
    .sample(
      Array.from({ length: layers }, (_, layer) => layer),
      depth,
    )
    .sort((a, b) => a - b);
  const share = heads / kvHeads;
  const groups = Array.from({ length: layers }, () =>
    random.shuffle(Array.from({ length: kvHeads }, (_, group) => group)),
  );
  const within = Array.from({ length: layers }, () => random.int(share));
  return {
    layer: (i) => chosen[i] as number,
    head: (layer, i = 0) => ({
      layer,
      head: (groups[layer]?.[i] as number) * share + (within[layer] as number),
    }),
  };
}

function describe(
  { name, about, why }: Case,
  { heads, mlps, edges }: Circuit,
  sizes: { layers: number; heads: number; kvHeads: number; noise: number; seed: number },
): GroundTruth {
  const share = sizes.heads / sizes.kvHeads;
  // Keys and values are received by a group.
  const receiver = (to: string) =>
    to.replace(
      /\.(\d+)\.([kv])$/,
      (_, head, kind) => `.${Math.floor(Number(head) / share)}.${kind}`,
    );
  return {
    ...{ case: name, about, ...sizes, why },
    circuit: {
      heads: heads.map(({ place, does, direct, total }) => ({
        head: headName(place),
        does,
        direct,
        total,
      })),
      mlps: mlps.map(({ layer, does, direct, total }) => ({ mlp: layer, does, direct, total })),
      edges: edges.map(([from, to, hidden]) => ({
        from,
        to: receiver(to),
        total: hidden === undefined,
      })),
    },
  };
}

function configOf({ sizes, dHead, dModel, dMlp, vocab }: Stream) {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: dModel,
    intermediate_size: dMlp,
    num_hidden_layers: sizes.layers,
    num_attention_heads: sizes.heads,
    num_key_value_heads: sizes.kvHeads,
    head_dim: dHead,
    vocab_size: vocab,
    max_position_embeddings: 32,
    rms_norm_eps: 1e-6,
    rope_theta: ropeTheta,
    hidden_act: "silu",
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: false,
    torch_dtype: "float32",
  };
}

function tensorsOf({ tensors }: Stream) {
  return [...tensors].map(([name, { shape, values }]) => ({
    name,
    dtype: "F32" as const,
    shape: [...shape],
    data: new Uint8Array(Float32Array.from(values).buffer),
  }));
}

function itemsOf(one: Case, stream: Stream, count: number, random: Rng): RawItem[] {
  const symbol = (...other: readonly number[]): number => {
    const free = Array.from({ length: symbols }, (_, s) => s).filter((s) => !other.includes(s));
    return free[random.int(free.length)] as number;
  };
  const ids = (prompt: Question["prompt"]) => prompt.map((token) => stream.token(...token));
  return Array.from({ length: count }, (_, i) => {
    const question = one.ask({ symbol }, symbols);
    const prompt_ids = ids(question.prompt);
    return {
      id: `${one.name}-${i}`,
      cluster: prompt_ids.join(","),
      prompt_ids,
      answer_id: stream.token(...question.answer),
      counterfactual_ids: ids(question.counterfactual),
      counterfactual_answer_id: stream.token(...question.counterfactualAnswer),
      role_ids: Object.fromEntries(
        question.prompt.flatMap(([role], p) =>
          role === "bos" || role === "symbol" ? [] : [[role, [p, p + 1] as [number, number]]],
        ),
      ),
    };
  });
}
