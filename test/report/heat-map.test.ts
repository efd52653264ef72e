import { describe, expect, it } from "vitest";
import { heatMap, niceDomain } from "../../packages/report/src/charts/heat-map.ts";
import { effectView } from "../../packages/report/src/effects.ts";
import { parse } from "./page.ts";
import { sampleRun } from "./sample.ts";

function map(layers: number, heads: number, width: number) {
  const [first] = sampleRun({ layers, heads }).experiments;
  if (!first) throw new Error("the sample has experiments");
  const view = effectView(first.direct);
  const domain = niceDomain([view]);
  const chart = heatMap({
    view,
    domain,
    width,
    title: "T",
    description: "D",
    minCell: 20,
    maxCell: 50,
  });
  return { view, domain, page: parse(`<!doctype html><html><body>${chart.text}</body></html>`) };
}

describe("heatMap", () => {
  it("draws a cell for every head and MLP, and outlines the key ones", () => {
    const { page, view } = map(3, 5, 500);
    const rects = [...page.document.querySelectorAll("rect")];
    const cells = rects.filter((r) => r.querySelector("title"));
    expect(cells).toHaveLength(3 * 5 + 3);
    expect(rects.length - cells.length).toBe(view.keyHeads.size + view.keyMlps.size);
    const titles = cells.map((r) => r.querySelector("title")?.textContent ?? "");
    for (const name of view.keyHeads) {
      expect(titles.some((t) => t.startsWith(`Head ${name}: `) && t.endsWith("(key)"))).toBe(true);
    }
  });

  it("colours by sign and never beyond full strength", () => {
    const { page } = map(4, 4, 400);
    for (const rect of page.document.querySelectorAll("rect")) {
      const title = rect.querySelector("title")?.textContent;
      if (!title) continue;
      const opacity = Number(rect.getAttribute("fill-opacity") ?? "1");
      expect(opacity).toBeGreaterThanOrEqual(0);
      expect(opacity).toBeLessThanOrEqual(1);
      const negative = title.includes("−");
      if (opacity > 0.05)
        expect(rect.getAttribute("fill")).toBe(negative ? "var(--against)" : "var(--helps)");
    }
  });

  it("scrolls instead of shrinking when the model has many heads", () => {
    expect(map(2, 40, 340).page.html).toContain('class="scroll"');
    expect(map(2, 4, 340).page.html).not.toContain('class="scroll"');
  });

  it("rounds the scale up to one digit", () => {
    const { view, domain } = map(4, 4, 400);
    expect(domain).toBe(1);
    expect(niceDomain([{ ...view, ranked: [] }])).toBe(1);
    expect(
      niceDomain([{ ...view, ranked: view.ranked.filter((c) => c.kind === "head") }]),
    ).toBeLessThan(1);
  });
});
