// Every key of every family's config.json, changed one at a time (mutate.py), and models drawn at random
// (draw.py): the engine computes what transformers computes, or refuses. Needs KEYHEADS_CONFIG_CASES, the
// folder that one of them wrote.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { KeyheadsError } from "../../packages/keyheads/src/errors.ts";
import { openSafetensors, readTensorBytes } from "../../packages/keyheads/src/load/safetensors.ts";
import { Model } from "../../packages/keyheads/src/model.ts";

const folder = process.env.KEYHEADS_CONFIG_CASES;
const names = folder === undefined ? [] : readdirSync(folder).sort();

interface Case {
  readonly number: string;
  readonly spelling: string;
  readonly key: string;
  readonly value: unknown;
  readonly runs?: true;
  readonly error?: string;
  /** Of this case, where not all cases have the same. */
  readonly ids?: number[];
}

/** Logits of a case, as the engine gives them, or its refusal. */
async function engineLogits(
  path: string,
  ids: number[],
  dtype: "f32" | "f64",
): Promise<ArrayLike<number> | string> {
  try {
    using model = await Model.load(path, { dtype });
    const readout = { rows: "all", logits: "all" } as const;
    return (await model.forward({ sequences: [ids], readout })).logits as Float32Array;
  } catch (error) {
    if (error instanceof KeyheadsError && error.code !== "INTERNAL")
      return `${error.code}: ${error.message}`;
    throw error;
  }
}

describe.skipIf(names.length === 0)("config keys, changed one at a time", () => {
  it.each(names)("%s", { timeout: 600_000 }, async (name) => {
    const at = join(folder as string, name);
    const { ids: prompt, cases } = JSON.parse(readFileSync(join(at, "cases.json"), "utf8")) as {
      ids?: number[];
      cases: Case[];
    };
    const { tensors } = await openSafetensors(join(at, "logits.safetensors"));
    // transformers runs the drawn ones in double, with norms and rotary tables in float all the same.
    const drawn = tensors[0]?.dtype === "F64";
    const wrong: string[] = [];
    const lenient: string[] = [];
    let [same, refused] = [0, 0];
    for (const { number, spelling, key, value, error, ids = prompt ?? [] } of cases) {
      const what = `${spelling} ${key} = ${JSON.stringify(value)} (case ${number})`;
      const got = await engineLogits(join(at, number), ids, drawn ? "f64" : "f32");
      if (typeof got === "string") {
        refused += 1;
        if (key === "none") wrong.push(`${what}: refused with ${got}`);
        else if (key === "drawn" && error === undefined)
          lenient.push(`case ${number}: refused with ${got}`);
        continue;
      }
      if (error !== undefined) {
        // transformers checks the types of keys that it does not use either.
        if (!error.includes("FieldValidationError")) lenient.push(`${what}: ${error}`);
        continue;
      }
      const tensor = tensors.find((t) => t.name === number);
      if (!tensor) throw new Error(`no logits of case ${number}`);
      const bytes = await readTensorBytes(tensor);
      const want = new (tensor.dtype === "F64" ? Float64Array : Float32Array)(bytes.slice().buffer);
      const size = want.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      const worst = want.reduce(
        (most, x, i) => Math.max(most, Math.abs(x - (got[i] as number))),
        0,
      );
      // Rounding is about 1e-6 of the largest logit; of 4,500 drawn models, some of them two wide,
      // transformers' float was 2.5e-5 off once.
      if (want.length === got.length && worst <= (drawn ? 1e-4 : 2e-5) * size) same += 1;
      else wrong.push(`${what}: differs by ${worst} of ${size}`);
    }
    process.stdout.write(`${name}: ${same} as transformers, ${refused} refused\n`);
    for (const line of lenient) process.stdout.write(`  only on one side: ${line}\n`);
    expect(wrong).toEqual([]);
  });
});
