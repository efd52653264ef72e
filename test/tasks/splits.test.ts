import { describe, expect, it } from "vitest";
import { hash, hashBelow } from "../../packages/keyheads/src/tasks/hash.ts";
import { splitOf } from "../../packages/keyheads/src/tasks/splits.ts";

describe("hash", () => {
  it("is spread over its range, whatever varies", () => {
    const streams = [
      (i: number) => hash(i, "x"),
      (i: number) => hash(7, i),
      (i: number) => hash(7, "item", `${i}`),
    ];
    for (const draw of streams) {
      const bins = new Array<number>(16).fill(0);
      for (let i = 0; i < 16_000; ++i) {
        const bin = Math.floor(draw(i) / 2 ** 28);
        bins[bin] = (bins[bin] as number) + 1;
      }
      const chi2 = bins.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0);
      // 15 degrees of freedom: 44 is passed once in 10,000.
      expect(chi2).toBeLessThan(44);
    }
  });

  it("is fixed: runs made with a seed stay what they were", () => {
    expect(hash(0, "split", "3,4,7")).toBe(hash(0, "split", "3,4,7"));
    expect([hash(1, 2, "a"), hash(2, 1, "a"), hash(1, "2", "a")]).toMatchInlineSnapshot(`
      [
        4274552297,
        502401285,
        1057811270,
      ]
    `);
    expect(hash(0, "ab", "c")).not.toBe(hash(0, "a", "bc"));
  });

  it("stays below its bound", () => {
    for (let i = 0; i < 1000; ++i) expect(hashBelow(7, i, "x")).toBeLessThan(7);
  });
});

describe("splits", () => {
  it("meet their shares on average", () => {
    const counts = { discover: 0, dev: 0, test: 0 };
    for (let i = 0; i < 20_000; ++i) ++counts[splitOf(`cluster ${i}`, 3)];
    // Standard deviation 70 of 10,000 and less of the others.
    expect(Math.abs(counts.discover - 10_000)).toBeLessThan(350);
    expect(Math.abs(counts.dev - 4000)).toBeLessThan(350);
    expect(Math.abs(counts.test - 6000)).toBeLessThan(350);
  });
});
