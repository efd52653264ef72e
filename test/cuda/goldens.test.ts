// What transformers computed, on a device, for every family.
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { verify } from "../../packages/keyheads/src/verify/verify.ts";
import { familyNames } from "../engine/fixtures.ts";
import { describeOnDevice } from "./on-both.ts";

const path = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

describeOnDevice.each(familyNames)("the goldens of %s", (name) => {
  it("are met on a device", { timeout: 300_000 }, async () => {
    const { groups } = await verify(path(name), { device: "cuda" });
    expect(groups.filter((group) => !group.pass)).toEqual([]);
    expect(groups.length).toBeGreaterThan(20);
  });
});
