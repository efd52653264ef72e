import { expect, test } from "vitest";
import { bfloatBits, encoders, halfBits } from "../../packages/keyheads/src/save/encode.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";

test("half precision: values of the standard, ties to even, subnormal numbers", () => {
  const known: readonly [number, number][] = [
    [0, 0x0000],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [1 / 3, 0x3555],
    [65504, 0x7bff],
    [2 ** -14, 0x0400],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000],
    [2 ** -25 * 1.0001, 0x0001],
    [3 * 2 ** -25, 0x0002],
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
    [2047.5 * 2 ** -25, 0x0400],
    [65520, 0x7c00],
    [Number.NEGATIVE_INFINITY, 0xfc00],
  ];
  for (const [value, bits] of known) expect([value, halfBits(value)]).toEqual([value, bits]);
  expect(halfBits(Number.NaN) & 0x7fff).toBeGreaterThan(0x7c00);
});

test("bfloat16 is the upper half of the float, rounded to even", () => {
  const view = new DataView(new ArrayBuffer(4));
  const random = rng(4);
  for (let i = 0; i < 20000; ++i) {
    view.setUint32(0, random.int(2 ** 32));
    const value = view.getFloat32(0);
    if (!Number.isFinite(value)) continue;
    const bits = view.getUint32(0);
    const rounded = (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
    expect(bfloatBits(value)).toBe(rounded);
  }
});

test("a weight that the file's dtype cannot hold is an error", () => {
  const view = new DataView(new ArrayBuffer(8));
  for (const [dtype, value] of [
    ["F16", 70000],
    ["BF16", 3.4e38],
    ["F32", 1e39],
    ["F64", Number.NaN],
  ] as const) {
    expect(() => encoders[dtype](view, 0, value)).toThrow(`cannot be stored as ${dtype}`);
  }
});
