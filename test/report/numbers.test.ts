import { describe, expect, it } from "vitest";
import * as n from "../../packages/report/src/text/numbers.ts";

/** Thin spaces and word joiners as readers see them. */
const seen = (text: string) => text.replace(/\u202f/g, " ").replace(/\u2060/g, "");

describe("numbers for readers", () => {
  it.each([
    [n.percent(0.888), "88.8 %"],
    [n.percent(1), "100 %"],
    [n.percent(0.9988), "99.88 %"],
    [n.percent(0.0017), "0.17 %"],
    [n.percent(null), "–"],
    [n.percent(Number.NaN), "–"],
    [n.share(0.503), "50 %"],
    [n.share(-0.004), "−0.4 %"],
    [n.share(0), "0 %"],
    [n.points(0.082), "+8.2"],
    [n.points(-0.003), "−0.30"],
    [n.points(0), "0.0"],
    [n.points(-0.00001), "0.00"],
    [n.number(-3.321), "−3.32"],
    [n.number(1234567), "1,234,567"],
    [n.number(0.00002), "2e-5"],
    [n.plain(8), "8"],
    [n.plain(0.001), "0.001"],
    [n.plain(-0.2), "−0.2"],
    [n.plain(100), "100"],
    [n.count(27000), "27,000"],
    [n.magnitude(796672), "797 thousand"],
    [n.magnitude(6.74e9), "6.74 billion"],
    [n.seconds(0.9), "0.90 s"],
    [n.seconds(143.2), "2 min 23 s"],
    [n.seconds(3780), "1 h 3 min"],
    [n.bytes(412e6), "412 MB"],
    [n.percentRange(0.48, 0.52, 0), "48–52 %"],
    [n.percentRange(0.02, -0.01, 0), "−1 to 2 %"],
    [n.dateTime("2025-01-02T03:04:05.000Z"), "2025-01-02 03:04 UTC"],
    [n.dateTime("yesterday"), "yesterday"],
    [n.list(["a", "b", "c"]), "a, b and c"],
    [n.list([]), ""],
    [[1, 2, 3, 4, 11, 21, 112].map(n.ordinal).join(" "), "1st 2nd 3rd 4th 11th 21st 112th"],
    [n.plural(1, "head"), "1 head"],
    [n.plural(2, "head"), "2 heads"],
  ])("%s is %s", (text, expected) => {
    expect(seen(text)).toBe(expected);
  });
});
