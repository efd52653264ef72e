import { beforeAll, describe, expect, it } from "vitest";
import type { RunResult } from "../../packages/report/src/results.ts";
import { all, type Page, render, unbalanced } from "./page.ts";
import { sampleRun } from "./sample.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A copy in which `change` has seen every value that is no object. */
function changed(run: RunResult, change: (value: Json, key: string) => Json): RunResult {
  const visit = (value: Json, key: string): Json => {
    if (Array.isArray(value)) return value.map((item) => visit(item, key));
    if (typeof value === "object" && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, visit(v, k)]));
    }
    return change(value, key);
  };
  return visit(JSON.parse(JSON.stringify(run)) as Json, "") as unknown as RunResult;
}

function expectSound(page: Page): void {
  expect(page.text).not.toMatch(/\bNaN\b|undefined|\bnull\b|\[object|Infinity/);
  expect(unbalanced(page.html)).toBeUndefined();
  expect(page.html).not.toMatch(/\b(?:NaN|undefined)\b(?=[^<]*>)/);
  const ids = all(page, "[id]").map((node) => node.id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const link of all(page, "a[href]")) {
    expect(ids).toContain(link.getAttribute("href")?.slice(1));
  }
}

describe("renderReport", () => {
  let page: Page;
  beforeAll(() => {
    page = render(sampleRun({ layers: 4, heads: 4 }));
  });

  it("is sound and deterministic, and leaves the results alone", () => {
    expectSound(page);
    const run = sampleRun({ layers: 4, heads: 4 });
    const before = JSON.stringify(run);
    expect(render(run).html).toBe(page.html);
    expect(JSON.stringify(run)).toBe(before);
  });

  it("has every section, in the contents as well", () => {
    const titles = all(page, "h2, h3").map((node) => node.textContent);
    for (const title of [
      "In short",
      "One problem, worked",
      "The carry through a tens column",
      "What writes the answer",
      "Direct or upstream",
      "What feeds the key heads",
      "Why the counterfactual matters",
      "Removing them",
      "Every small set of heads",
      "Would gradients have found the same?",
      "Where the heads look",
      "How the answer forms",
      "The carry through two columns",
      "Before and after tuning",
      "Was choosing the heads worth it?",
      "Claims of the paper",
      "Method and definitions",
      "Reproducibility",
    ]) {
      expect(titles).toContain(title);
      if (title !== "One problem, worked")
        expect(all(page, "nav.side a").map((a) => a.textContent)).toContain(title);
    }
  });

  it("shows the hashes of what was not trained, tensor by tensor", () => {
    const rows = all(page, "#tuning table")
      .find((table) => table.querySelector("caption")?.textContent.includes("not trained"))
      ?.querySelectorAll("tbody tr");
    const cells = [...(rows ?? [])].map((row) =>
      [...row.querySelectorAll("th, td")].map((cell) => cell.textContent),
    );
    const short = (digit: string) => digit.repeat(16);
    expect(cells).toEqual([
      ["transformer.h.2.attn.c_attn.weight", "11", short("a"), short("a"), "yes", "wq 2.1"],
      ["transformer.h.2.mlp.c_fc.weight", "1", short("b"), short("c"), "no", "–"],
      ["transformer.h.3.attn.c_attn.bias", "0", "–", "–", "–", "bq 3.0 and bq 3.1"],
    ]);
    expect(page.html).toContain(`title="${"e".repeat(64)}"`);
  });

  it("names and describes every picture", () => {
    const pictures = all(page, "svg[role=img]");
    expect(pictures.length).toBeGreaterThan(30);
    for (const picture of pictures) {
      expect(picture.querySelector("title")?.textContent).toMatch(/\w/);
      expect(picture.querySelector("desc")?.textContent).toMatch(/\w/);
      expect(picture.getAttribute("xmlns")).toBe("http://www.w3.org/2000/svg");
    }
    expect(all(page, "svg:not([role=img]):not([aria-hidden=true])")).toHaveLength(0);
  });

  it("asks the network for nothing", () => {
    const addresses = page.html.match(/https?:\/\/[^"'\s<]+/g) ?? [];
    expect(new Set(addresses)).toEqual(new Set(["http://www.w3.org/2000/svg"]));
    expect(page.html).not.toMatch(/\ssrc=|@import|url\(/);
  });

  it("makes its summary from the numbers", () => {
    const run = sampleRun({ layers: 4, heads: 4 });
    const [first] = run.experiments;
    const best = first?.direct.keyHeads.reduce((a, b) => {
      const share = (name: string) => {
        const [l = 0, h = 0] = name.split(".").map(Number);
        return first.direct.headShares[l]?.[h] ?? 0;
      };
      return share(a) >= share(b) ? a : b;
    });
    const summary = all(page, "#summary")[0]?.textContent ?? "";
    expect(summary).toContain(`Head ${best} carries`);
    expect(summary).toMatch(/accuracy goes from 88\.8\s% to 17\.1\s%/);
    expect(summary).toContain("Not supported");
    expect(summary).toMatch(/All 480 sets of 4 heads leave 70\.8\s% on average/);
  });

  it("gives the effects on all items, and the paper's measure, beside the main ones", () => {
    const direct = all(page, "#e-carry-direct")[0]?.textContent ?? "";
    expect(direct).toContain("those that the model answers correctly; on all 2,000 items");
    expect(direct).toContain("Relative logit");
    expect(all(page, "#evaluation")[0]?.textContent).toContain("24,300 of 243,000 items");
  });

  it("says how much the drawn edges do by themselves", () => {
    const text = all(page, "#e-carry-graph")[0]?.textContent ?? "";
    expect(text).toMatch(/these edges keep\s83.0\s% \(78.0\s% to\s88.0\s%\)/);
  });

  it("says what negative controls found", () => {
    const run = sampleRun({ layers: 4, heads: 4 });
    const [first] = run.experiments;
    if (!first?.controls) throw new Error("the sample has controls");
    const direct = (some: RunResult) => all(render(some), "#e-carry-direct")[0]?.textContent ?? "";
    expect(direct(run)).toContain(
      "own counterfactual the largest effect is 0; in the same network",
    );
    expect(direct(run)).toContain("(smallest p 0.31)");
    const found = { ...first.controls.untrained, pass: false, keyHeads: ["1.2"], keyMlps: [3] };
    const failed = { ...first.controls, untrained: found };
    expect(direct({ ...run, experiments: [{ ...first, controls: failed }] })).toContain(
      "1.2 and MLP 3 would be significant, which happens by chance in one of 20 controls",
    );
  });

  it("maps what feeds a head, input by input, without what cannot reach it", () => {
    const run = sampleRun({ layers: 4, heads: 4 });
    const [first] = run.experiments;
    const [queries] = first?.paths ?? [];
    if (!first || !queries) throw new Error("the sample has paths");
    const cleared = {
      ...queries,
      keyHeads: [],
      keyMlps: [],
      headShares: queries.headShares.map((row, layer) => row.map((x) => (layer < 2 ? x : 0))),
      mlpShares: [0.4, 0, 0, 0],
    };
    const part = all(
      render({ ...run, experiments: [{ ...first, paths: [cleared] }] }),
      "#e-carry-paths",
    )[0];
    const titles = [...(part?.querySelectorAll("svg title") ?? [])].map((one) => one.textContent);
    expect(titles).toContain("MLP 0: 40\u202f%");
    expect(titles).toContain("Head 2.0: –");
    expect(part?.textContent).toMatch(/Head \d\.\d, queries/);
    expect(part?.textContent).toMatch(/at the last token; most by MLP 0 \(40\s%\)/);
  });

  it("holds approximations against their exact answers", () => {
    const part = all(page, "#e-carry-methods")[0];
    const pictures = [...(part?.querySelectorAll("svg.plot") ?? [])];
    // For wide and for narrow pages.
    expect(pictures).toHaveLength(8);
    const { estimands = [] } = sampleRun({ layers: 4, heads: 4 }).experiments[0]?.methods ?? {};
    for (const { method, rank } of estimands.flatMap(({ methods }) => methods)) {
      expect(part?.textContent, method).toContain(rank.mean.toFixed(2));
    }
    expect(part?.textContent).toMatch(/1,519 edges, exactly in 4\.2\ss/);
  });

  it("says the opposite when the numbers do", () => {
    const run = sampleRun({ layers: 4, heads: 4 });
    const weak = changed(run, (value, key) =>
      key === "accuracy" && Number(value) < 0.8 ? 0.86 : value,
    );
    const tuned = changed(weak, (value, key) => (key === "supported" ? true : value));
    const summary = all(render(tuned), "#summary")[0]?.textContent ?? "";
    expect(summary).toContain("so this is not clearly beyond what random heads do");
    expect(summary).toContain("Supported on this model");
  });
});

describe("hostile and broken results", () => {
  it("escapes every string", () => {
    const attack = `<script>alert(1)</script><img src=x onerror="alert(2)">'&amp;\u0000`;
    const fixed = new Set(["kind", "verdict", "ablation", "positions", "mlpPath", "effect"]);
    const names = new Set(["keyHeads", "head", "heads", "added"]);
    const run = changed(sampleRun({ layers: 2, heads: 2 }), (value, key) =>
      typeof value !== "string" || fixed.has(key)
        ? value
        : names.has(key)
          ? `${value}${attack}`
          : attack,
    );
    const page = render(run);
    expect(all(page, "script")).toHaveLength(1);
    expect(all(page, "img, [onerror]")).toHaveLength(0);
    expect(page.html).not.toContain("<script>alert");
    expect(page.html).not.toContain("\u0000");
    expect(page.text).toContain("<script>alert(1)</script>");
    expectSound(page);
  });

  it.each([
    [1, 1],
    [1, 12],
    [12, 2],
    [40, 40],
  ])("draws a model of %i layers with %i heads", (layers, heads) => {
    expectSound(render(sampleRun({ layers, heads })));
  });

  it("shows a dash where a number is missing", () => {
    const numeric = changed(sampleRun({ layers: 3, heads: 3 }), (value, key) =>
      typeof value === "number" && key !== "k" && key !== "layer" && key !== "line" ? null : value,
    );
    const page = render(numeric);
    expectSound(page);
    expect(page.text).toContain("–");
  });

  it("survives numbers that are not finite", () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const run = sampleRun({ layers: 2, heads: 3 });
      const [first] = run.experiments;
      if (!first) throw new Error("the sample has experiments");
      const direct = {
        ...first.direct,
        totalEffect: bad,
        headShares: first.direct.headShares.map((row) => row.map(() => bad)),
        mlpShares: first.direct.mlpShares.map(() => bad),
      };
      expectSound(render({ ...run, experiments: [{ ...first, direct }] }));
    }
  });

  it("leaves out what was not measured", () => {
    const { tuning: _, example: __, ...run } = sampleRun({ layers: 4, heads: 4 });
    const [first] = run.experiments;
    if (!first) throw new Error("the sample has experiments");
    const { name, title, description, direct } = first;
    const page = render({
      ...run,
      experiments: [{ name, title, description, direct: { ...direct, keyHeads: [], keyMlps: [] } }],
      evaluation: { before: [], after: [], description: "" },
      claims: [],
    });
    expectSound(page);
    expect(all(page, "#tuning, #example, #evaluation, #claims")).toHaveLength(0);
    expect(page.text).toContain("No head passes the threshold");
    expectSound(render({ ...run, experiments: [] }));
  });

  it("renders an experiment without items", () => {
    const run = sampleRun({ layers: 2, heads: 2 });
    const emptied = changed(run, (value, key) => (key === "used" ? 0 : value));
    const experiments = emptied.experiments.map((e) => ({
      ...e,
      knockout: e.knockout && { ...e.knockout, curve: [], random: [] },
      subsets: e.subsets && { ...e.subsets, sets: [] },
      attention: e.attention && { ...e.attention, heads: [] },
      lens: e.lens && { ...e.lens, layers: [] },
    }));
    expectSound(render({ ...emptied, experiments } as RunResult));
  });

  it("keeps experiments of one name apart", () => {
    const run = sampleRun({ layers: 2, heads: 2 });
    const [first] = run.experiments;
    if (!first) throw new Error("the sample has experiments");
    expectSound(
      render({
        ...run,
        experiments: [first, first, { ...first, name: "<>" }, { ...first, name: "é" }],
      }),
    );
  });
});
