/** The report in a real browser: quiet console, no network, nothing wider than the page. */
import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderReport } from "../../packages/report/src/index.ts";
import { sampleRun } from "./sample.ts";

const usual = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/usr/bin/google-chrome-stable",
  "/snap/bin/chromium",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
const named = process.env.KEYHEADS_CHROMIUM;
const executablePath = named || usual.find((path) => existsSync(path));
if (!executablePath) {
  console.warn(
    "report in a browser: skipped, no Chromium found; install one or set KEYHEADS_CHROMIUM to its path",
  );
}

const folder = mkdtempSync(join(tmpdir(), "keyheads-report-"));
const shapes = { "4x4": { layers: 4, heads: 4 }, "32x32": { layers: 32, heads: 32 } } as const;
type Name = keyof typeof shapes;
const fileOf = (name: Name) => join(folder, `${name}.html`);

/** Opens a report and gathers whatever it complains about or asks for. */
async function open(
  browser: Browser,
  name: Name,
  width: number,
  scheme: "light" | "dark",
  script = true,
) {
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme: scheme,
    javaScriptEnabled: script,
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => requests.push(request.url()));
  const url = pathToFileURL(fileOf(name)).href;
  await page.goto(url);
  return { page, complaints, foreign: requests.filter((r) => r !== url && r !== "data:,") };
}

/** Elements that stick out of the page to the right, outside boxes that scroll by themselves. */
function stickingOut(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const limit = document.documentElement.clientWidth + 1;
    return [...document.querySelectorAll("body *")]
      .filter(
        (e) => !e.closest(".scroll, .visually-hidden, .skip") && e.getClientRects().length > 0,
      )
      .filter((e) => e.getBoundingClientRect().right > limit && !e.closest("svg"))
      .map((e) => `${e.tagName}.${e.className}`);
  });
}

describe.skipIf(!executablePath)("the report in a browser", () => {
  let browser: Browser;
  beforeAll(async () => {
    for (const name of Object.keys(shapes) as Name[]) {
      writeFileSync(fileOf(name), renderReport(sampleRun(shapes[name])));
    }
    browser = await chromium.launch({
      ...(executablePath ? { executablePath } : {}),
      args: ["--no-sandbox"],
    });
  });
  afterAll(async () => {
    await browser?.close();
  });

  it.each([
    ["4x4", 1280, "light"],
    ["4x4", 390, "light"],
    ["4x4", 1280, "dark"],
    ["4x4", 390, "dark"],
    ["32x32", 1280, "light"],
    ["32x32", 390, "light"],
  ] as const)("%s at %i px, %s", async (name, width, scheme) => {
    const { page, complaints, foreign } = await open(browser, name, width, scheme);
    await page.evaluate(() => {
      for (const details of document.querySelectorAll("details")) details.open = true;
    });
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    expect(overflow).toBe(0);
    expect(await stickingOut(page)).toEqual([]);
    const path = join(folder, `${name}-${width}-${scheme}.png`);
    await page.screenshot({ path });
    expect(statSync(path).size).toBeGreaterThan(10_000);
    expect(complaints).toEqual([]);
    expect(foreign).toEqual([]);
    await page.context().close();
  });

  it("hides weak edges of the circuit, by keyboard too, and says how many are left", async () => {
    const { page } = await open(browser, "4x4", 1280, "light");
    const range = page.locator(".prune input").first();
    const output = page.locator(".prune output").first();
    const visible = () =>
      page.evaluate(
        () =>
          [...document.querySelectorAll<SVGElement>(".circuit-graph path[data-share]")].filter(
            (edge) =>
              edge.getClientRects().length > 0 && edge.closest("section")?.querySelector(".prune"),
          ).length,
      );
    const all = await visible();
    expect(await output.textContent()).toMatch(/^0 % of the strongest: (\d+) of \1 edges$/);
    await range.focus();
    await page.keyboard.press("End");
    expect(await output.textContent()).toMatch(/^100 % of the strongest: 1 of \d+ edges$/);
    expect(await range.getAttribute("aria-valuetext")).toMatch(/1 of/);
    expect(await visible()).toBeLessThan(all);
    await page.context().close();
  });

  it("is well-formed: every picture is valid XML", async () => {
    const { page } = await open(browser, "4x4", 1280, "light", false);
    const markup = readFileSync(fileOf("4x4"), "utf8").match(/<svg xmlns[\s\S]*?<\/svg>/g) ?? [];
    await page.context().close();
    const blank = await browser.newPage();
    const problems = await blank.evaluate(
      (all) =>
        all.filter((svg) =>
          new DOMParser().parseFromString(svg, "image/svg+xml").querySelector("parsererror"),
        ),
      markup,
    );
    expect(markup.length).toBeGreaterThan(30);
    expect(problems).toEqual([]);
    await blank.close();
  });

  it("can be read without the script", async () => {
    const { page } = await open(browser, "4x4", 1280, "light", false);
    expect(await page.locator("#summary").textContent()).toContain("Not supported");
    expect(await page.locator("#reproducibility table").first().isVisible()).toBe(true);
    expect(await page.locator("svg.plot rect title").count()).toBeGreaterThan(16);
    await page.context().close();
  });

  it("shows a tooltip for what is under the pointer", async () => {
    const { page } = await open(browser, "4x4", 1280, "light");
    const cell = page.locator("#e-carry-direct .for-wide [data-tip^='Head 2.']").first();
    await cell.hover();
    expect(await page.locator(".tip").textContent()).toMatch(/^Head 2\.\d: /);
    await page.mouse.move(2, 2);
    expect(await page.locator(".tip").isVisible()).toBe(false);
    await page.context().close();
  });

  it("marks in the contents where the reader is", async () => {
    const { page } = await open(browser, "4x4", 1280, "light");
    await page.locator("nav.side a[href='#claims']").click();
    await page.locator("nav.side a[href='#claims'][aria-current]").waitFor({ timeout: 5000 });
    await page.context().close();
  });

  it("gives text enough contrast in both schemes", async () => {
    for (const scheme of ["light", "dark"] as const) {
      const { page } = await open(browser, "4x4", 1280, scheme);
      const low = await page.evaluate(() => {
        const style = getComputedStyle(document.documentElement);
        const channel = (hex: string, at: number) => {
          const c = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
          return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
        };
        const light = (name: string) => {
          const hex = style.getPropertyValue(name).trim();
          return 0.2126 * channel(hex, 1) + 0.7152 * channel(hex, 3) + 0.0722 * channel(hex, 5);
        };
        const contrast = (a: string, b: string) => {
          const [x, y] = [light(a), light(b)];
          return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
        };
        const pairs: [string, string][] = [
          ["--ink", "--surface"],
          ["--muted", "--surface"],
          ["--muted", "--page"],
          ["--muted", "--soft"],
          ["--link", "--surface"],
          ["--yes", "--yes-soft"],
          ["--no", "--no-soft"],
          ["--helps", "--surface"],
          ["--against", "--surface"],
          ["--cell-strong", "--helps"],
          ["--cell-strong", "--against"],
        ];
        // 4.5 is what WCAG asks of normal text.
        return pairs.filter(([a, b]) => contrast(a, b) < 4.5).map((pair) => pair.join(" on "));
      });
      expect(low).toEqual([]);
      await page.context().close();
    }
  });
});
