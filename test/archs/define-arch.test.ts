// Type tests: the choices of an architecture decide which weights it must and must not name.
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { compile } from "./compile.ts";

const spec = fileURLToPath(new URL("../../packages/keyheads/src/archs/spec.ts", import.meta.url));

interface Variant {
  readonly choices?: Record<string, unknown>;
  readonly layer?: Record<string, string>;
}
const source = ({ choices, layer }: Variant) => {
  const chosen = {
    norm: "rms",
    position: "rotary",
    gated: true,
    activation: { key: "a", absent: "silu" },
    qkvBias: true,
    outBias: false,
    mlpBias: false,
    tied: true,
    scaledScores: true,
    ...choices,
  };
  const layerNames = ["attnNorm", "mlpNorm", "wq", "wk", "wv", "wo", "wGate", "wUp", "wDown"];
  const weights = Object.fromEntries(layerNames.map((name) => [name, name]));
  return `
import { defineArch } from ${JSON.stringify(spec)};
export const arch = defineArch({
  name: "x", huggingface: ["X"], modelType: "x", harmless: [],
  choices: ${JSON.stringify(chosen)},
  sizes: { layers: "l", dModel: "d", heads: "h", kvHeads: "h", dHead: "e", dMlp: "m", vocab: "v",
    context: "c", normEps: "n" },
  rotary: { theta: { key: "t", absent: 1 } },
  weights: { embed: "e", finalNorm: "f", layer: ${JSON.stringify({ ...weights, ...layer })} },
});`;
};
const biases = { bq: "q", bk: "k", bv: "v" };

describe("defineArch", () => {
  const variants: Record<string, Variant> = {
    right: { layer: biases },
    missingBias: { layer: { bk: "k", bv: "v" } },
    biasFromConfig: { choices: { qkvBias: { key: "b", absent: false } } },
    strayBias: { choices: { qkvBias: false }, layer: biases },
    untied: { layer: biases, choices: { tied: false } },
    layerNorm: { layer: biases, choices: { norm: "layer" } },
    learned: { layer: biases, choices: { position: "learned" } },
    notGated: { layer: biases, choices: { gated: false } },
  };
  const errors = compile(
    Object.fromEntries(Object.entries(variants).map(([name, variant]) => [name, source(variant)])),
  );

  it("accepts exactly the weights of its choices", () => expect(errors.right).toBe(""));
  it.each([
    ["missingBias", /Property 'bq' is missing/],
    ["biasFromConfig", /missing the following properties.*: bk, bq, bv/],
    ["strayBias", /Type 'string' is not assignable to type 'never'/],
    ["untied", /Property 'unembed' is missing/],
    ["layerNorm", /missing the following properties.*: attnNormBias, mlpNormBias/],
    ["learned", /Property 'posEmbed' is missing/],
    ["notGated", /Type 'string' is not assignable to type 'never'/],
  ])("%s does not compile", (name, what) => expect(errors[name]).toMatch(what));
});
