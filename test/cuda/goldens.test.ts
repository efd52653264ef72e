// What transformers computed, on a device. The shim takes seconds a family, so that of those that the
// CPU is held to, `npm test` takes some there that differ in most, and all with KEYHEADS_ALL_GOLDENS=1.
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { verify } from "../../packages/keyheads/src/verify/verify.ts";
import { familyNames } from "../engine/fixtures.ts";
import { describeOnDevice, onShim } from "./on-both.ts";

const path = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

const all = !onShim || process.env.KEYHEADS_ALL_GOLDENS === "1";
const names = all ? familyNames : ["gpt2", "gptj", "gemma2", "qwen3", "olmo2", "mixtral"];

describeOnDevice.each(names)("the goldens of %s", (name) => {
  it("are met on a device", { timeout: 300_000 }, async () => {
    const { groups } = await verify(path(name), { device: "cuda" });
    expect(groups.filter((group) => !group.pass)).toEqual([]);
    expect(groups.length).toBeGreaterThan(20);
  });
});
