import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import { readConfig } from "../../packages/keyheads/src/load/config.ts";
import { pack } from "../../packages/keyheads/src/packing.ts";
import { toEdit, toSite } from "../../packages/keyheads/src/sites.ts";

const path = fileURLToPath(new URL("../fixtures/llama-gqa/config.json", import.meta.url));
const { spec } = readConfig(JSON.parse(readFileSync(path, "utf8")), path);
const batch = pack([
  [1, 2, 3],
  [4, 5],
]);

describe("toSite", () => {
  it("names hooks by id and turns end into rows", () => {
    expect(toSite({ hook: hooks.z(2), head: 7, positions: "end" }, spec, batch)).toEqual({
      hook: expect.any(Number),
      layer: 2,
      head: 7,
      rows: Int32Array.of(2, 4),
    });
    expect(toSite({ hook: hooks.embed() }, spec, batch)).toEqual({
      hook: expect.any(Number),
      layer: -1,
      head: -1,
    });
  });
  it.each([
    [{ hook: hooks.z(0), head: 8 }, /has no head 8: its heads are 0 to 7/],
    [{ hook: hooks.k(0), head: 2 }, /has no head 2: its key\/value groups are 0 to 1/],
    [{ hook: hooks.resid_mid(0), head: 0 }, /it has no heads/],
    [{ hook: hooks.z(0), rows: Int32Array.of(5) }, /row 5 \(entry 0\).* from 0 to 4/],
    [{ hook: hooks.z(0), rows: Int32Array.of(1, 1) }, /row 1 \(entry 1\); rows ascend/],
  ])("refuses %j", (site, message) => {
    expect(() => toSite(site, spec, batch)).toThrow(message);
  });
});

describe("toEdit", () => {
  it("gives values in the model's type and passes the right type on without a copy", () => {
    const value = Float32Array.of(1, 2);
    const edit = { hook: hooks.z(0), op: "set", value } as const;
    expect(toEdit(edit, spec, batch, "f32").value).toBe(value);
    expect(toEdit(edit, spec, batch, "f64").value).toEqual(Float64Array.of(1, 2));
    expect(toEdit({ ...edit, value: 3 }, spec, batch, "f32").value).toEqual(Float32Array.of(3));
  });
  it("needs what the operation needs", () => {
    const hook = hooks.z(0);
    expect(() => toEdit({ hook, op: "add" }, spec, batch, "f32")).toThrow(/"add" .* needs a value/);
    expect(() => toEdit({ hook, op: "scale" }, spec, batch, "f32")).toThrow(/needs a factor/);
    expect(() => toEdit({ hook, op: "interpolate", value: 0 }, spec, batch, "f32")).toThrow(
      /factor/,
    );
    expect(toEdit({ hook, op: "zero" }, spec, batch, "f32")).toMatchObject({ op: "zero" });
  });
});
