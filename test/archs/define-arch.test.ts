// Type tests: the choices of an architecture decide which weights it must and must not name.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { compile } from "./compile.ts";

const spec = fileURLToPath(new URL("../../packages/keyheads/src/archs/spec.ts", import.meta.url));

const guide = fileURLToPath(new URL("../../docs/adding-a-model.md", import.meta.url));
const documented = (/```ts\n(.*?)```/s.exec(readFileSync(guide, "utf8"))?.[1] ?? "").replaceAll(
  /from "\.\/(\w+)\.ts"/g,
  (_, name) => `from ${JSON.stringify(spec.replace("spec.ts", `${name}.ts`))}`,
);

interface Variant {
  readonly choices?: Record<string, unknown>;
  readonly layer?: Record<string, string>;
  readonly model?: Record<string, string>;
  readonly without?: readonly string[];
  readonly rest?: string;
}
const source = ({ choices, layer, model, without = [], rest = rotary }: Variant) => {
  const chosen = {
    norm: "rms",
    position: "rotary",
    gated: true,
    activation: { key: "a", absent: "silu" },
    qkvBias: true,
    outBias: false,
    mlpBias: false,
    tied: true,
    ...choices,
  };
  const layerNames = ["attnNorm", "mlpNorm", "wq", "wk", "wv", "wo", "wGate", "wUp", "wDown"];
  const names = layerNames.filter((name) => !without.includes(name));
  const weights = { ...Object.fromEntries(names.map((name) => [name, name])), ...biases, ...layer };
  return `
import { defineArch } from ${JSON.stringify(spec)};
export const arch = defineArch({
  name: "x", huggingface: ["X"], modelType: "x", harmless: [],
  choices: ${JSON.stringify(chosen)},
  sizes: { layers: "l", dModel: "d", heads: "h", kvHeads: "h", dHead: "e", dMlp: "m", vocab: "v",
    context: "c", normEps: "n" },
  ${rest}
  weights: { embed: "e", finalNorm: "f", ...${JSON.stringify(model ?? {})},
    layer: ${JSON.stringify(weights)} },
});`;
};
const rotary = `rotary: { theta: { key: "t", absent: 1 } },`;
const biases = { bq: "q", bk: "k", bv: "v" };
const flag = { key: "b", absent: false };
const norms = ["attnNorm", "mlpNorm"];
const postNorms = { attnPostNorm: "a", mlpPostNorm: "m" };
const qkNorms = { qNorm: "q", kNorm: "k" };
const experts = { count: "n", perToken: 2 };
const mixture = { router: "r", wGate: "{j}g", wUp: "{j}u", wDown: "{j}d" };

describe("defineArch accepts exactly the weights of the choices", () => {
  const right: Record<string, Variant> = {
    plain: {},
    learned: {
      choices: { position: "learned" },
      model: { posEmbed: "p" },
      rest: "positionOffset: 2,",
    },
    postNorms: { choices: { normPlacement: "post" }, without: norms, layer: postNorms },
    bothNorms: { choices: { normPlacement: "both" }, layer: postNorms },
    sharedNorm: { choices: { parallel: true, sharedNorm: true }, without: ["mlpNorm"] },
    sharedByFlag: { choices: { parallel: flag, sharedNorm: flag } },
    qkNorm: { choices: { qkNorm: "head" }, layer: qkNorms },
    headNorms: {
      choices: { qkNorm: { kind: "heads", when: flag } },
      layer: { qNorm: "q.{h}", kNorm: "k.{h}" },
    },
    experts: { choices: { experts }, layer: mixture },
    unembedBias: {
      choices: { tied: flag, unembedBias: true },
      model: { unembed: "u", unembedBias: "b" },
    },
  };
  const wrong: Record<string, Variant & { readonly error: RegExp }> = {
    missingBias: { choices: { outBias: true }, error: /Property 'bo' is missing/ },
    biasFromConfig: {
      choices: { mlpBias: flag },
      error: /missing the following properties.*: bGate, bUp, bDown/,
    },
    strayBias: { choices: { qkvBias: false }, error: /'string' is not assignable to type 'never'/ },
    untied: { choices: { tied: false }, error: /Property 'unembed' is missing/ },
    unembedBias: {
      choices: { unembedBias: true },
      error: /Property 'unembedBias' is missing/,
    },
    layerNorm: {
      choices: { norm: "layer" },
      error: /missing the following properties.*: attnNormBias, mlpNormBias/,
    },
    learned: { choices: { position: "learned" }, error: /Property 'posEmbed' is missing/ },
    notGated: {
      choices: { gated: false },
      error: /'string' is not assignable to type 'never'/,
    },
    postNorms: {
      choices: { normPlacement: "post" },
      without: norms,
      error: /missing the following properties.*: attnPostNorm, mlpPostNorm/,
    },
    preNormOfPost: {
      choices: { normPlacement: "post" },
      layer: postNorms,
      error: /'string' is not assignable to type 'never'/,
    },
    postNormOfPre: { layer: postNorms, error: /'string' is not assignable to type 'never'/ },
    sharedNorm: {
      choices: { parallel: true, sharedNorm: true },
      error: /'string' is not assignable to type 'never'/,
    },
    qkNorm: {
      choices: { qkNorm: "width" },
      error: /missing the following properties.*: qNorm, kNorm/,
    },
    strayQkNorm: { layer: qkNorms, error: /'string' is not assignable to type 'never'/ },
    headNorms: {
      choices: { qkNorm: "heads" },
      layer: qkNorms,
      error: /not assignable to type '`\$\{string\}\{h\}/,
    },
    router: {
      choices: { experts },
      layer: { ...mixture, router: undefined as never },
      error: /Property 'router' is missing/,
    },
    experts: {
      choices: { experts },
      layer: { ...mixture, wUp: "u" },
      error: /not assignable to type '`\$\{string\}\{j\}/,
    },
    noRotary: { rest: "", error: /Property 'rotary' is missing/ },
    offsetOfRotary: {
      rest: `${rotary} positionOffset: 2,`,
      error: /'number' is not assignable to type 'never'/,
    },
  };
  const sources = [
    ...Object.entries(right).map(([name, variant]) => [`right_${name}`, source(variant)]),
    ...Object.entries(wrong).map(([name, variant]) => [`wrong_${name}`, source(variant)]),
  ];
  const errors = compile({ ...Object.fromEntries(sources), documented });

  it("the family of docs/adding-a-model.md compiles", () => expect(errors.documented).toBe(""));
  it.each(Object.keys(right))("%s compiles", (name) => expect(errors[`right_${name}`]).toBe(""));
  it.each(Object.entries(wrong))("wrong %s does not compile", (name, { error }) =>
    expect(errors[`wrong_${name}`]).toMatch(error),
  );
});
