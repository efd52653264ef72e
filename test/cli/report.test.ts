import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sampleRun } from "../report/sample.ts";
import { failure, json, keyheads, scratch } from "./keyheads.ts";

function folderOf(results: string): string {
  const folder = scratch();
  writeFileSync(join(folder, "results.json"), results);
  return folder;
}

test("renders report.html from results.json, and again", async () => {
  const folder = folderOf(JSON.stringify(sampleRun({ layers: 3, heads: 4 })));
  const report = join(folder, "report.html");
  for (let time = 0; time < 2; ++time)
    expect(await json(["report", folder])).toEqual({ schemaVersion: 1, report });
  expect(readFileSync(report, "utf8")).toMatch(/^<!doctype html>/);
});

test("--out goes elsewhere, and not over another file", async () => {
  const folder = folderOf(JSON.stringify(sampleRun({ layers: 2, heads: 2 })));
  const out = join(folder, "mine.html");
  const { code, stdout } = await keyheads("report", folder, "--out", out);
  expect({ code, stdout }).toEqual({ code: 0, stdout: `${out}\n` });
  expect(await failure(["report", folder, "--out", out], 2)).toContain(`${out} exists`);
});

test.each([
  ["a folder without results", undefined, /holds no results of a run: ENOENT/],
  ["what is no JSON", "{", /holds no results of a run/],
  [
    "another version",
    '{"schemaVersion": 99}',
    /schemaVersion 99; this version of keyheads reads 1/,
  ],
  ["the output of another command", '{"schemaVersion": 1, "heads": []}', /no experiments/],
])("%s is refused", async (_, results, message) => {
  const folder = results === undefined ? scratch() : folderOf(results);
  expect(await failure(["report", folder], 2)).toMatch(message);
});
