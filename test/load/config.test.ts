import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readConfig } from "../../packages/keyheads/src/load/config.ts";
import { families } from "../families.ts";

const fixture = (model: string, file = "config.json"): Record<string, unknown> =>
  JSON.parse(
    readFileSync(fileURLToPath(new URL(`../fixtures/${model}/${file}`, import.meta.url)), "utf8"),
  );
const read = (config: Record<string, unknown>, options = {}) =>
  readConfig(config, "config.json", options);
const without = (config: Record<string, unknown>, ...keys: string[]) =>
  Object.fromEntries(Object.entries(config).filter(([key]) => !keys.includes(key)));

describe("readConfig", () => {
  it("reads GPT-2", () => {
    const { spec, flags, arch } = read(fixture("gpt2"));
    expect(arch.name).toBe("gpt2");
    expect(flags).toEqual({ qkvBias: true, outBias: true, mlpBias: true, unembedBias: false });
    expect(spec).toMatchObject({
      layers: 3,
      dModel: 48,
      heads: 4,
      kvHeads: 4,
      dHead: 12,
      dMlp: 100,
      vocab: 113,
      context: 32,
      norm: "layer",
      position: "learned",
      activation: "gelu_new",
      gated: false,
      tied: true,
    });
    expect(spec.inverseFrequencies).toHaveLength(0);
    expect(spec.attentionScales).toEqual(new Float64Array(3).fill(1 / Math.sqrt(12)));
  });
  it("fills in what older GPT-2 files leave out", () => {
    const config = without(
      { ...fixture("gpt2"), n_inner: null, n_ctx: 32 },
      "n_positions",
      "tie_word_embeddings",
    );
    expect(read(config).spec).toMatchObject({ dMlp: 192, context: 32, tied: true });
    expect(read(without(fixture("gpt2"), "n_positions")).spec.context).toBe(1024);
    expect(read({ ...config, tie_word_embeddings: false }).spec.tied).toBe(false);
  });
  it("reads grouped queries, head sizes and llama3 frequencies", () => {
    const { spec, flags } = read(fixture("llama-gqa"));
    expect(spec).toMatchObject({
      heads: 8,
      kvHeads: 2,
      dHead: 8,
      gated: true,
      tied: true,
      norm: "rms",
    });
    expect(flags).toEqual({ qkvBias: false, outBias: false, mlpBias: false, unembedBias: false });
    // By hand from the definition: kept, blended, divided by 8.
    const plain = [0, 1, 2, 3].map((i) => 500000 ** (-i / 4));
    const scaled = plain.map((f) => {
      const s = Math.min(1, Math.max(0, ((256 * f) / (2 * Math.PI) - 1) / 3));
      return (1 - s) * (f / 8) + s * f;
    });
    expect([...spec.inverseFrequencies]).toEqual(scaled.map((f) => expect.closeTo(f, 14)));
    expect(spec.inverseFrequencies[0]).toBe(1);
    expect(spec.inverseFrequencies[3]).toBeCloseTo((plain[3] ?? 0) / 8, 14);
    expect(read({ ...fixture("llama-gqa"), head_dim: 16 }).spec.dHead).toBe(16);
    expect(read(without(fixture("llama"), "num_key_value_heads", "head_dim")).spec).toMatchObject({
      kvHeads: 4,
      dHead: 12,
    });
  });
  it.each(families)("reads both spellings of %s alike", (model) => {
    expect(read(fixture(model))).toEqual(read(fixture(model, "config_v4.json")));
  });
  it("takes biases and activation from the config", () => {
    const config = {
      ...fixture("llama"),
      attention_bias: true,
      mlp_bias: true,
      hidden_act: "gelu_pytorch_tanh",
    };
    expect(read(config).flags).toEqual({
      qkvBias: true,
      outBias: true,
      mlpBias: true,
      unembedBias: false,
    });
    expect(read(config).spec.activation).toBe("gelu_new");
    const scales = (settings: object) =>
      read({ ...fixture("gpt2"), ...settings }).spec.attentionScales;
    expect(scales({ scale_attn_weights: false })).toEqual(Float64Array.of(1, 1, 1));
    const byLayer = { scale_attn_weights: false, scale_attn_by_inverse_layer_idx: true };
    expect(scales(byLayer)).toEqual(Float64Array.of(1, 1 / 2, 1 / 3));
  });
  it("finds the family by model_type where architectures is missing", () => {
    expect(read(without(fixture("llama"), "architectures")).arch.name).toBe("llama");
  });
});

describe("readConfig refuses", () => {
  const gpt2 = fixture("gpt2");
  const llama = fixture("llama");
  const rope = (parameters: object) => ({ ...llama, rope_parameters: parameters });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["a missing size", without(llama, "hidden_size"), /hidden_size is missing, expected a number/],
    ["a size that is text", { ...llama, vocab_size: "97" }, /vocab_size is "97"/],
    ["a fraction of a layer", { ...gpt2, n_layer: 2.5 }, /layers .* is 2.5/],
    [
      "heads that do not divide the width",
      { ...gpt2, n_head: 5 },
      /n_embd 48 is not a multiple of n_head 5/,
    ],
    [
      "groups that do not divide the heads",
      { ...llama, num_key_value_heads: 3 },
      /4 query heads cannot share 3/,
    ],
    [
      "an unknown activation",
      { ...llama, hidden_act: "mish" },
      /hidden_act is "mish"; known: gelu/,
    ],
    [
      "a flag that is no boolean",
      { ...llama, tie_word_embeddings: "no" },
      /tie_word_embeddings is "no"/,
    ],
    [
      "settings that change the mathematics",
      { ...gpt2, add_cross_attention: true },
      /add_cross_attention is true, which changes .* supported: false/,
    ],
    [
      "quantised weights",
      { ...llama, quantization_config: { bits: 4 } },
      /quantization_config is \{"bits":4\}/,
    ],
    [
      "unknown keys",
      { ...llama, attn_logit_softcapping: 30 },
      /attn_logit_softcapping = 30 .* allowUnknownConfig/,
    ],
    ["a sliding window", { ...llama, sliding_window: 4 }, /sliding_window = 4/],
    [
      "other rope types",
      rope({ rope_type: "proportional", factor: 4 }),
      /rope type "proportional" is not supported; supported: default, linear, dynamic, llama3/,
    ],
    ["unknown rope settings", rope({ rope_type: "default", mscale: 1 }), /unknown key mscale/],
    [
      "missing rope settings",
      rope({ rope_type: "llama3", factor: 8 }),
      /rope setting low_freq_factor/,
    ],
    ["partly rotated heads", rope({ partial_rotary_factor: 0.5 }), /partial_rotary_factor is 0.5/],
    [
      "two thetas",
      { ...llama, rope_theta: 5 },
      /rope_theta is 5, but the rope settings' rope_theta is 10000/,
    ],
    [
      "two scalings",
      { ...rope({ rope_type: "default" }), rope_scaling: { type: "linear", factor: 2 } },
      /rope_parameters and rope_scaling disagree/,
    ],
  ])("%s", (_, config, message) => {
    expect(() => read(config)).toThrow(
      expect.objectContaining({ code: "BAD_CHECKPOINT", message: expect.stringMatching(message) }),
    );
  });
  it("unknown architectures, naming those it knows", () => {
    const code = "UNKNOWN_ARCHITECTURE";
    const config = { ...llama, architectures: ["BloomForCausalLM"] };
    expect(() => read(config)).toThrow(expect.objectContaining({ code }));
    expect(() => read(config)).toThrow(
      /"BloomForCausalLM" is not known; known: GPT2LMHeadModel, GPTJ/,
    );
    expect(() => read({})).toThrow(expect.objectContaining({ code }));
  });
});

describe("readConfig accepts", () => {
  const llama = fixture("llama");

  it("unknown keys that are null, or on demand", () => {
    expect(read({ ...llama, sliding_window: null }).spec.layers).toBe(3);
    expect(read({ ...llama, novelty: 1 }, { allowUnknownConfig: true }).spec.layers).toBe(3);
  });
  it("both rope spellings where they agree", () => {
    const config = { ...llama, rope_theta: 10000, rope_scaling: { rope_type: "default" } };
    expect(read(config).spec.inverseFrequencies).toEqual(read(llama).spec.inverseFrequencies);
  });
  it("linear scaling, old spelling", () => {
    const config = {
      ...fixture("llama", "config_v4.json"),
      rope_scaling: { type: "linear", factor: 4 },
    };
    const plain = read(llama).spec.inverseFrequencies;
    expect(read(config).spec.inverseFrequencies).toEqual(plain.map((f) => f / 4));
  });
});
