import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { unpinnedActions, versionProblems } from "../../scripts/release/check.mjs";

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

describe("workflows", () => {
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
  it.each(readdirSync(join(root, folder)))("%s names actions by commits", (file) => {
    const text = read(join(folder, file));
    expect(text).toMatch(/uses: /);
    expect(unpinnedActions(text)).toEqual([]);
  });
});
