// Type tests: the choices of an architecture decide which weights it must and must not name. They
// are checked by compiling a snippet, so that a wrong one shows its error.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "keyheads-types-"));
const spec = join(root, "packages/keyheads/src/archs/spec.ts");
afterAll(() => rmSync(folder, { recursive: true }));

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

/** Type errors of each variant, by one run of the compiler. */
function compile(variants: Readonly<Record<string, Variant>>): Record<string, string> {
  for (const [name, variant] of Object.entries(variants)) {
    writeFileSync(join(folder, `${name}.mts`), source(variant));
  }
  const config = {
    extends: join(root, ".configs/tsconfig.base.json"),
    compilerOptions: {
      noEmit: true,
      composite: false,
      allowImportingTsExtensions: true,
      rewriteRelativeImportExtensions: false,
      types: [],
    },
    include: ["*.mts"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  let output = "";
  try {
    execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", folder, "--pretty", "false"]);
  } catch (error) {
    output = String((error as { stdout: Buffer }).stdout);
  }
  // An error begins with its file; lines that belong to it are indented.
  const messages = output.split(/\n(?! )/);
  const of = (name: string) => messages.filter((message) => message.includes(`${name}.mts(`));
  return Object.fromEntries(Object.keys(variants).map((name) => [name, of(name).join("\n")]));
}

describe("defineArch", () => {
  const errors = compile({
    right: { layer: biases },
    missingBias: { layer: { bk: "k", bv: "v" } },
    biasFromConfig: { choices: { qkvBias: { key: "b", absent: false } } },
    strayBias: { choices: { qkvBias: false }, layer: biases },
    untied: { layer: biases, choices: { tied: false } },
    layerNorm: { layer: biases, choices: { norm: "layer" } },
    learned: { layer: biases, choices: { position: "learned" } },
    notGated: { layer: biases, choices: { gated: false } },
  });

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
