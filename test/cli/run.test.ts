// The whole job on small items: its files, its manifest, and going on after an interruption.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { failure, json, keyheads, planted, problems, scratch, start } from "./keyheads.ts";

const read = (folder: string, name: string) =>
  JSON.parse(readFileSync(join(folder, name), "utf8")) as Record<string, unknown>;
/** Items of the planted model in splits, with enough of them for each. */
function splitItems(): string {
  const file = join(scratch(), "items.jsonl");
  const lines = readFileSync(problems, "utf8").trimEnd().split("\n");
  writeFileSync(file, lines.slice(0, 120).join("\n"));
  return file;
}

test("writes results, report and manifest", async () => {
  const out = join(scratch(), "run");
  const items = splitItems();
  const result = await json(["run", planted, "--items", items, "--skip-tuning", "--out", out]);
  expect(result).toMatchObject({ model: "planted", out, report: join(out, "report.html") });
  const [experiment] = result.experiments as { keyHeads: string[] }[];
  expect([...(experiment?.keyHeads ?? [])].sort()).toEqual(["0.2", "0.6", "1.5"]);

  const results = read(out, "results.json");
  expect(results).toMatchObject({ schemaVersion: 1, model: { name: "planted" }, seed: 0 });
  expect(readFileSync(join(out, "report.html"), "utf8")).toMatch(/^<!doctype html>/);
  const manifest = read(out, "manifest.json");
  expect(manifest).toMatchObject({
    status: "finished",
    inputs: { seed: 0, tune: false, dtype: "f32", items: { name: "items.jsonl" } },
    machine: { node: process.version, engine: { threads: expect.any(Number) } },
    peakBytes: expect.any(Number),
  });
  const { files } = (manifest.inputs as { model: { files: { name: string }[] } }).model;
  expect(files.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["config.json", "model.safetensors", "tokenizer.json"]),
  );
  expect(readdirSync(out)).not.toContain("stages");

  // Finished: nothing to resume, and not replaced without --force.
  const again = ["run", planted, "--items", items, "--skip-tuning"];
  expect(await failure([...again, "--out", out], 2)).toMatch(/exists; give another --out/);
  expect(await failure([...again, "--resume", out], 2)).toMatch(/is finished/);
});

test("an interrupted run goes on where it stopped", async () => {
  const out = join(scratch(), "run");
  const args = ["run", planted, "--items", splitItems(), "--skip-tuning"];
  const running = start([...args, "--out", out]);
  while (!existsSync(join(out, "stages"))) await new Promise((resolve) => setTimeout(resolve, 20));
  running.process.kill("SIGINT");
  const { code, stdout, stderr } = await running.outcome;
  expect({ code, stdout }, stderr).toEqual({ code: 130, stdout: "" });
  expect(stderr).toContain(`go on with --resume ${out}`);
  expect(read(out, "manifest.json")).toMatchObject({ status: "interrupted" });
  const [stage] = readdirSync(join(out, "stages"));
  const kept = readFileSync(join(out, "stages", stage as string), "utf8");

  expect(await failure([...args, "--resume", out, "--seed", "1"], 2)).toMatch(
    /cannot be resumed: seed was 0 and is now 1/,
  );
  expect(readFileSync(join(out, "stages", stage as string), "utf8")).toBe(kept);
  await json([...args, "--resume", out]);
  expect(read(out, "manifest.json")).toMatchObject({ status: "finished" });
  expect(existsSync(join(out, "results.json"))).toBe(true);
});

test("--force replaces a run and nothing else", async () => {
  const folder = scratch();
  mkdirSync(join(folder, "mine"));
  writeFileSync(join(folder, "mine", "file"), "mine");
  const args = ["run", planted, "--items", problems, "--force", "--out", join(folder, "mine")];
  expect(await failure(args, 2)).toMatch(/is not the folder of a run/);
  expect(readFileSync(join(folder, "mine", "file"), "utf8")).toBe("mine");
});

test.each([
  ["no output", [], /--out <folder> is required/],
  ["items and tasks", ["--out", "x", "--items", "a", "--task", "add"], /exclude each other/],
  ["a folder that is no run", ["--resume", planted], /is not the folder of a run/],
])("%s is a usage error", async (_, args, message) => {
  expect(await failure(["run", planted, ...args], 2)).toMatch(message);
});

test("--dry-run plans, writes nothing", async () => {
  const out = join(scratch(), "run");
  const args = ["run", "mathgpt_add3_h4_l4", "--out", out, "--dry-run"];
  const result = await json(args);
  const { steps } = result.plan as { steps: { what: string }[] };
  expect(steps.map(({ what }) => what)).toContain("path patching");
  expect((await keyheads(...args)).stdout).toMatch(/nothing was computed\n$/);
  expect(existsSync(out)).toBe(false);
});
