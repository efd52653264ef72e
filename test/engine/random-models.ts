// Small random models of any specification, beyond what the fixtures' families choose: sizes that
// are no multiples of a vector, heads x dHead unequal to dModel, grouped queries.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FloatArray, ModelSpec, SlotRef } from "@keyheads/native";
import { callEngine } from "../../packages/keyheads/src/engine.ts";
import { openSafetensors } from "../../packages/keyheads/src/load/safetensors.ts";
import { slotKey, slotShape } from "../../packages/keyheads/src/load/slots.ts";
import { writeSafetensors } from "../../packages/keyheads/src/load/write-safetensors.ts";
import { type DeviceName, Model, placeOf } from "../../packages/keyheads/src/model.ts";
import { type Rng, rng } from "../../packages/keyheads/src/statistics/rng.ts";

const plain: ModelSpec = {
  layers: 3,
  dModel: 20,
  heads: 4,
  kvHeads: 2,
  dHead: 6,
  dMlp: 27,
  vocab: 41,
  context: 40,
  norm: "rms",
  normEps: 1e-5,
  normPlusOne: false,
  normPlacement: "pre",
  block: "sequential",
  sharedNorm: false,
  qkNorm: "none",
  position: "rotary",
  positionOffset: 0,
  inverseFrequencies: Float64Array.of(1, 0.1, 0.01),
  rotaryPairs: "halves",
  rotaryScale: 1,
  activation: "silu",
  gated: true,
  experts: 0,
  expertsPerToken: 0,
  attentionScales: Float64Array.of(0.4, 0.2, 0.7),
  scoreCap: 0,
  logitCap: 0,
  embedScale: 1,
  windows: new Int32Array(3),
  tied: false,
};
const learned = { position: "learned", inverseFrequencies: new Float64Array(0) } as const;
const gpt = { norm: "layer", gated: false, activation: "gelu_new" } as const;

/** Every choice at least once, in the combinations that families have and in some that none has. */
const choices: Readonly<Record<string, Partial<ModelSpec>>> = {
  "norms after, q/k norm of the width": {
    normPlacement: "post",
    qkNorm: "width",
    dModel: 24,
    kvHeads: 4,
  },
  "norms on both sides, caps, windows": {
    normPlacement: "both",
    normPlusOne: true,
    windows: Int32Array.of(3, 0, 2),
    scoreCap: 1.5,
    logitCap: 2,
    embedScale: 4.5,
    activation: "gelu_new",
    tied: true,
  },
  "parallel with a shared norm, adjacent pairs": {
    ...gpt,
    block: "parallel",
    sharedNorm: true,
    kvHeads: 4,
    rotaryPairs: "adjacent",
    inverseFrequencies: Float64Array.of(1, 0.05),
  },
  "parallel with two norms, part of the head rotated": {
    ...gpt,
    activation: "gelu",
    block: "parallel",
    kvHeads: 4,
    inverseFrequencies: Float64Array.of(1),
  },
  "learned positions with an offset": {
    ...gpt,
    ...learned,
    activation: "relu",
    kvHeads: 4,
    positionOffset: 2,
    tied: true,
  },
  "a norm for each head": {
    norm: "layer",
    qkNorm: "heads",
    inverseFrequencies: Float64Array.of(1, 0.1),
    windows: Int32Array.of(4, 4, 4),
  },
  "one norm for all heads, scaled rotation": { qkNorm: "head", dHead: 7, rotaryScale: 1.3 },
  "parallel, norms on both sides, learned positions, q/k norm": {
    ...learned,
    block: "parallel",
    normPlacement: "both",
    qkNorm: "head",
    gated: false,
    windows: Int32Array.of(0, 2, 3),
    logitCap: 3,
  },
  "mixture of experts": { experts: 5, expertsPerToken: 2 },
  "mixture of ungated experts, each token using one": {
    experts: 3,
    expertsPerToken: 1,
    gated: false,
    block: "parallel",
    normPlacement: "both",
  },
};
export const choiceNames = Object.keys(choices);

/** The specification with this name; any other name draws all its choices at random. */
export function choiceSpec(name: string): ModelSpec {
  const spec = { ...plain, ...(choices[name] ?? drawn(rng(hash(name)))) };
  const { windows, attentionScales, layers } = spec;
  return {
    ...spec,
    windows: windows.slice(0, layers),
    attentionScales: attentionScales.slice(0, layers),
  };
}

function drawn(random: Rng): Partial<ModelSpec> {
  const pick = <const T>(...of: readonly T[]): T => of[random.int(of.length)] as T;
  const normPlacement = pick("pre", "post", "both");
  const block = pick("sequential", "parallel");
  const dHead = 2 + random.int(8);
  const [heads, kvHeads] = pick([4, 2], [4, 4], [3, 1], [1, 1], [6, 2]);
  const rotary = random.int(3) > 0;
  const experts = pick(0, 0, 1 + random.int(6));
  return {
    layers: 1 + random.int(3),
    dModel: 5 + random.int(30),
    heads,
    kvHeads,
    dHead,
    dMlp: 3 + random.int(40),
    norm: pick("rms", "layer"),
    normPlusOne: pick(true, false),
    normPlacement,
    block,
    sharedNorm: block === "parallel" && normPlacement !== "post" && pick(true, false),
    qkNorm: pick("none", "head", "heads", "width"),
    ...(rotary ? {} : learned),
    ...(rotary && {
      inverseFrequencies: Float64Array.from(
        { length: 1 + random.int(dHead >> 1) },
        () => random.next() * 2,
      ),
    }),
    positionOffset: rotary ? 0 : random.int(3),
    rotaryPairs: pick("halves", "adjacent"),
    rotaryScale: pick(1, 0.7),
    activation: pick("gelu_new", "relu", "silu"),
    gated: pick(true, false),
    experts,
    expertsPerToken: experts && 1 + random.int(experts),
    attentionScales: Float64Array.from({ length: 3 }, () => 0.2 + random.next()),
    scoreCap: pick(0, 2),
    logitCap: pick(0, 2),
    embedScale: pick(1, 3.5),
    windows: Int32Array.from({ length: 3 }, () => random.int(5)),
    tied: pick(true, false),
  };
}

const hash = (text: string) => [...text].reduce((h, c) => (h * 31 + c.charCodeAt(0)) | 0, 7);

/** Every slot that a specification has, optional biases included. */
export function slotsOf(spec: ModelSpec): SlotRef[] {
  const layerNorm = spec.norm === "layer";
  const before = spec.normPlacement !== "post";
  const after = spec.normPlacement !== "pre";
  const mlp = [...(spec.gated ? (["wGate"] as const) : []), "wUp", "wDown"] as const;
  const when = <T>(condition: boolean, ...slots: T[]): T[] => (condition ? slots : []);
  const model = [
    "embed",
    "finalNorm",
    "unembedBias",
    ...when(layerNorm, "finalNormBias"),
    ...when(spec.position === "learned", "posEmbed"),
    ...when(!spec.tied, "unembed"),
  ] as const;
  const layer = [
    ...(["wq", "bq", "wk", "bk", "wv", "bv", "wo", "bo"] as const),
    ...when(before, "attnNorm"),
    ...when(before && layerNorm, "attnNormBias"),
    ...when(before && !spec.sharedNorm, "mlpNorm"),
    ...when(before && !spec.sharedNorm && layerNorm, "mlpNormBias"),
    ...when(after, "attnPostNorm", "mlpPostNorm"),
    ...when(spec.qkNorm !== "none", "qNorm", "kNorm"),
    ...when(spec.experts === 0, ...mlp, "bUp", "bDown"),
    ...when(spec.experts === 0 && spec.gated, "bGate"),
    ...when(spec.experts > 0, "router"),
  ] as SlotRef["slot"][];
  return [
    ...model.map((slot) => ({ slot, layer: -1 }) as SlotRef),
    ...Array.from({ length: spec.layers }, (_, l) => [
      ...layer.map((slot) => ({ slot, layer: l })),
      ...Array.from({ length: spec.experts }, (_, expert) =>
        mlp.map((slot) => ({ slot, layer: l, expert })),
      ).flat(),
    ]).flat(),
  ];
}

/** Values of every slot, by slotKey; norms near 1, sums of products of order 1. */
export function randomWeights(spec: ModelSpec, seed: number): Map<string, Float64Array> {
  const random = rng(seed);
  const noise = () => 2 * (random.next() + random.next() + random.next()) - 3;
  return new Map(
    slotsOf(spec).map((ref) => {
      const [out, into] = slotShape(ref.slot, spec);
      const isGain = ref.slot.endsWith("Norm");
      const middle = isGain && !spec.normPlusOne ? 1 : 0;
      const size = isGain || into === undefined ? 0.3 : 1 / Math.sqrt(into);
      const scale = ref.slot.toLowerCase().endsWith("embed") ? 1 : size;
      const values = Float64Array.from(
        { length: out * (into ?? 1) },
        () => middle + scale * noise(),
      );
      return [slotKey(ref), values];
    }),
  );
}

/** A model of these weights, which are those of another specification where `stored` is given. */
export async function modelOf(
  spec: ModelSpec,
  weights: ReadonlyMap<string, Float64Array>,
  dtype: "f32" | "f64" = "f64",
  stored = spec,
  device: DeviceName = "cpu",
): Promise<Model> {
  const folder = mkdtempSync(join(tmpdir(), "keyheads-random-"));
  try {
    const refs = slotsOf(stored).filter((ref) => weights.has(slotKey(ref)));
    const path = join(folder, "model.safetensors");
    const tensors = refs.map((ref) => ({
      name: slotKey(ref),
      dtype: "F64" as const,
      shape: slotShape(ref.slot, stored).filter((n) => n !== undefined),
      data: new Uint8Array((weights.get(slotKey(ref)) as Float64Array).buffer),
    }));
    await writeSafetensors(path, tensors);
    const file = await openSafetensors(path);
    const slots = refs.map((ref) => {
      const tensor = file.tensors.find(
        ({ name }) => name === slotKey(ref),
      ) as (typeof file.tensors)[0];
      const [out] = slotShape(ref.slot, stored);
      return {
        ...ref,
        tensor: tensor.name,
        file: path,
        offset: tensor.offset,
        dtype: "F64" as const,
        shape: tensor.shape,
        transpose: false,
        rows: [0, out] as const,
        start: 0,
        length: out,
        stride: 0,
      };
    });
    const files = {
      folder,
      files: [file],
      index: undefined,
      tensors: new Map(file.tensors.map((tensor) => [tensor.name, tensor])),
      slots,
      copies: new Map<string, string>(),
      ignored: [],
    };
    const handle = await callEngine((binding, control) =>
      binding.loadModel(
        { spec, tensors: slots, dtype, memoryBudget: 0, ...placeOf(device, dtype) },
        control,
      ),
    );
    const parts = {
      folder,
      architecture: "random",
      spec,
      contextFrom: "context",
      config: {},
      dtype,
      device,
      files,
      handle,
    };
    return new Model({ ...parts, tokenizer: undefined });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The random model of a name (choiceSpec). */
export async function randomModel(
  name: string,
  dtype: "f32" | "f64" = "f64",
  device: DeviceName = "cpu",
): Promise<Model> {
  const spec = choiceSpec(name);
  return await modelOf(spec, randomWeights(spec, hash(name)), dtype, spec, device);
}

export const weightsOf = (name: string): Map<string, Float64Array> =>
  randomWeights(choiceSpec(name), hash(name));

/** Every slot's values as the engine holds them. */
export async function readAll(model: Model): Promise<Map<string, FloatArray>> {
  const entries = slotsOf(model.spec).map(
    async (ref) => [slotKey(ref), await model.readWeight(ref)] as const,
  );
  return new Map(await Promise.all(entries));
}
