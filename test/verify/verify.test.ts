import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { openSafetensors, readTensorBytes } from "../../packages/keyheads/src/load/safetensors.ts";
import { writeSafetensors } from "../../packages/keyheads/src/load/write-safetensors.ts";
import { verify } from "../../packages/keyheads/src/verify/verify.ts";
import { bundledModels } from "../../packages/models/src/index.ts";
import { families } from "../families.ts";

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), "keyheads-verify-"));
afterAll(() => rmSync(temporary, { recursive: true }));

const keyGroups = [
  "logits",
  "logits_bf16",
  "logits_f64",
  "resid",
  "final_norm",
  "attn_pattern",
  "z",
  "mlp_out",
  "cf.logits",
  "cf.z",
  "cf.mlp_out",
  "pad.logits",
  "loss",
  "grad",
  "adamw_full",
  "adamw_masked",
  "adamw_3steps",
  "path.head",
  "path.mlp",
  "act.head",
  "act.head_last",
  "act.mlp",
  "knock.zero",
  "knock.mean",
];
const extraGroups = ["generation", "ragged", "fast_vs_naive", "config_v4"];

describe.each(families)("the engine on %s", (name) => {
  it.each(["f32", "f64"] as const)("agrees with every golden group in %s", async (dtype) => {
    const { groups, pass } = await verify(fixture(name), { dtype });
    expect(groups.filter((group) => !group.pass)).toEqual([]);
    expect(pass).toBe(true);
    expect(groups.map((group) => group.name).sort()).toEqual([...keyGroups, ...extraGroups].sort());
    // Every tolerance can be missed: none is infinite, and something was compared.
    for (const { name, maxAbs, tolerance } of groups) {
      expect(tolerance).toBeLessThan(name === "logits_bf16" ? 0.5 : 1e-3);
      expect(maxAbs).not.toBeNull();
    }
  });
});

/** A copy of a fixture with changed goldens. */
async function changed(
  name: string,
  change: (key: string, bytes: Uint8Array) => Uint8Array | undefined,
  extra: readonly string[] = [],
): Promise<string> {
  const folder = mkdtempSync(join(temporary, `${name}-`));
  cpSync(fixture(name), folder, { recursive: true });
  const path = join(folder, "golden.safetensors");
  const { tensors } = await openSafetensors(join(fixture(name), "golden.safetensors"));
  const written = [];
  for (const tensor of tensors) {
    const bytes = await readTensorBytes(tensor);
    written.push({ ...tensor, data: change(tensor.name, bytes) ?? bytes });
  }
  const more = extra.map((key) => ({
    name: key,
    dtype: "F32" as const,
    shape: [1],
    data: new Uint8Array(4),
  }));
  await writeSafetensors(path, [...written, ...more]);
  return folder;
}
const failing = async (folder: string) =>
  (await verify(folder)).groups.filter((group) => !group.pass);

describe("verify fails", () => {
  it("each group by one value of it that is wrong", async () => {
    const [f64] = ["logits_f64"];
    const counted = new Set<string>();
    const folder = await changed("llama-gqa", (key, bytes) => {
      const group = key.split("/", 1)[0] as string;
      if (counted.has(group) || !keyGroups.includes(group)) return undefined;
      counted.add(group);
      const view = new DataView(bytes.buffer);
      const last = bytes.length - (key === f64 ? 8 : 4);
      if (key === f64) view.setFloat64(last, view.getFloat64(last, true) + 1e-9, true);
      else view.setFloat32(last, view.getFloat32(last, true) + 2e-3 + 1e-4, true);
      return bytes;
    });
    const names = (await failing(folder)).map((group) => group.name);
    // A changed gradient also changes what AdamW is allowed, never what it gives. Logits in bfloat16
    // are compared with logits_f64, within the error of transformers in bfloat16.
    expect(names.sort()).toEqual(keyGroups.filter((name) => name !== "logits_bf16").sort());
  });
  it("for keys that it does not know", async () => {
    const folder = await changed("llama", () => undefined, ["surprise/a", "constructor"]);
    const groups = await failing(folder);
    expect(groups).toMatchObject(
      [
        { name: "surprise", maxAbs: null, error: /surprise/ },
        { name: "constructor", error: /constructor/ },
      ].map((group) => ({ ...group, error: expect.stringMatching(group.error) })),
    );
  });
  it("for wrong tokens, and goldens that lack what they need", async () => {
    const folder = await changed("gpt2", () => undefined);
    const path = join(folder, "golden.json");
    const settings = JSON.parse(readFileSync(path, "utf8"));
    settings.generation[0].tokens[3] += 1;
    delete settings.float32_deviation.z;
    writeFileSync(path, JSON.stringify(settings));
    expect(await failing(folder)).toMatchObject([
      { name: "z", error: expect.stringMatching(/float32_deviation has no group "z"/) },
      { name: "generation", maxAbs: 1 },
    ]);
  });
  it("where unselected weights moved", async () => {
    // The golden slices say that less was selected than the golden tensors changed.
    const folder = await changed("llama", () => undefined);
    const path = join(folder, "golden.json");
    const settings = JSON.parse(readFileSync(path, "utf8"));
    settings.masked.slices = settings.masked.slices.slice(1);
    writeFileSync(path, JSON.stringify(settings));
    expect((await failing(folder)).map((group) => group.name)).toEqual(["adamw_masked"]);
  });
  it("by an error where there is nothing to verify against", async () => {
    await expect(verify(fixture("planted"))).rejects.toThrow(
      /neither golden.safetensors nor reference/,
    );
  });
});

describe("real models", () => {
  const models = bundledModels.filter(({ folder }) =>
    existsSync(join(folder, "reference.safetensors")),
  );
  it.each(models)("$name gives the numbers of transformers", async ({ folder }) => {
    const { groups, pass } = await verify(folder);
    expect(groups.filter((group) => !group.pass)).toEqual([]);
    expect(groups.map((group) => group.name)).toContain("logits");
    expect(pass).toBe(true);
  });
  it("are there", () => expect(models.length).toBeGreaterThanOrEqual(4));
});
