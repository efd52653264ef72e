// Input that cannot be used: a clear error with the value and the remedy, an exit code, nothing lost.
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { failure, fixture, json, keyheads, planted, problems, scratch } from "./keyheads.ts";

/** A copy of a fixture model that a test may spoil. */
function spoil(name: string, change: (folder: string) => void): string {
  const folder = join(scratch(), name);
  cpSync(fixture(name), folder, { recursive: true });
  change(folder);
  return folder;
}

function edit(file: string, change: (config: Record<string, unknown>) => void): void {
  const config = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  change(config);
  writeFileSync(file, JSON.stringify(config));
}

/** Rewrites the JSON header of a safetensors file, which keeps its length by padding with spaces. */
function editHeader(file: string, change: (header: string) => string): void {
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = bytes.toString("latin1", 8, 8 + length);
  const changed = change(header);
  if (changed.length > length) throw new Error("the new header is too long");
  bytes.write(changed.padEnd(length), 8, "latin1");
  writeFileSync(file, bytes);
}

const weights = "model.safetensors";
const identify = (model: string, items = problems) => ["identify", model, "--items", items];

describe("checkpoints", () => {
  test("missing weights", async () => {
    const folder = spoil("planted", (at) => rmSync(join(at, weights)));
    expect(await failure(identify(folder), 1)).toMatch(
      /has no weights: expected model.safetensors/,
    );
  });

  test("truncated weights", async () => {
    const folder = spoil("planted", (at) => truncateSync(join(at, weights), 100_000));
    expect(await failure(identify(folder), 1)).toMatch(/model\.safetensors.*(truncated|bytes)/);
  });

  test("an empty file", async () => {
    const folder = spoil("planted", (at) => truncateSync(join(at, weights), 0));
    expect(await failure(identify(folder), 1)).toMatch(/model\.safetensors/);
  });

  test("a wrong shape", async () => {
    const folder = spoil("planted", (at) =>
      edit(join(at, "config.json"), (config) => {
        config.num_hidden_layers = 3;
      }),
    );
    expect(await failure(identify(folder), 1)).toMatch(/nothing uses "model\.layers\.3/);
    const wide = spoil("planted", (at) =>
      edit(join(at, "config.json"), (config) => {
        config.vocab_size = 7;
      }),
    );
    expect(await failure(identify(wide), 1)).toMatch(
      /embed_tokens.*has shape \[.*expected \[7, 96\]/,
    );
  });

  test("a wrong dtype", async () => {
    const folder = spoil("planted", (at) =>
      editHeader(join(at, weights), (header) => header.replaceAll('"F32"', '"I32"')),
    );
    expect(await failure(identify(folder), 1)).toMatch(/dtype I32, expected F32, F16, BF16 or F64/);
  });

  test("an unknown architecture", async () => {
    const folder = spoil("planted", (at) =>
      edit(join(at, "config.json"), (config) => {
        config.architectures = ["MambaForCausalLM"];
      }),
    );
    const message = await failure(identify(folder), 1);
    expect(message).toMatch(/"MambaForCausalLM" is not known; known: .*LlamaForCausalLM/);
    const { error } = await json(identify(folder), 1);
    expect(error).toMatchObject({ code: "UNKNOWN_ARCHITECTURE" });
  });

  test("a broken config.json", async () => {
    const folder = spoil("planted", (at) => writeFileSync(join(at, "config.json"), "{"));
    expect(await failure(identify(folder), 1)).toMatch(/config\.json/);
  });

  test("a missing tokenizer, where text must be read", async () => {
    const folder = spoil("planted", (at) => rmSync(join(at, "tokenizer.json")));
    expect(await failure(["generate", folder, "--prompt", "7*8="], 1)).toMatch(/tokenizer\.json/);
    const message = await failure(identify(folder), 1);
    expect(message).toMatch(/tokenizer/);
  });
});

describe("items", () => {
  const lines = readFileSync(problems, "utf8").trimEnd().split("\n").slice(0, 40);
  const file = (...content: readonly string[]) => {
    const path = join(scratch(), "items.jsonl");
    writeFileSync(path, content.join("\n"));
    return path;
  };

  test("broken lines are dropped with number and reason, and counted", async () => {
    const bad = ["{", '{"answer": "3"}', '{"prompt": "7*8=", "answer": "56+3"}'];
    const items = file(...lines, ...bad);
    const result = await json([...identify(planted, items), "--draws", "10"]);
    expect(result.items).toMatchObject({
      used: 40,
      dropped: [
        { line: 41, why: expect.stringContaining("JSON") },
        { line: 42, why: expect.stringContaining("prompt is missing") },
        { line: 43, why: expect.stringContaining("3 tokens") },
      ],
    });
    const { stderr } = await keyheads(...identify(planted, items), "--draws", "10");
    expect(stderr).toMatch(
      /3 of 43 lines dropped\n {2}line 41: .*\n {2}line 42: .*\n {2}line 43: /,
    );
  });

  test("--strict makes them fatal", async () => {
    const items = file(...lines, "{");
    expect(await failure([...identify(planted, items), "--strict"], 1)).toMatch(/line 41: .*JSON/);
  });

  test("a file without a usable line", async () => {
    expect(await failure(identify(planted, file("{", "[]")), 1)).toMatch(/none of the 2 lines/);
    expect(await failure(identify(planted, file("")), 1)).toMatch(/has no items: it is empty/);
  });

  test("a file that is not there", async () => {
    expect(await failure(identify(planted, "/no/such.jsonl"), 1)).toMatch(
      /such\.jsonl: no such file/,
    );
  });
});

describe("heads", () => {
  const knockout = ["knockout", planted, "--items", problems];
  test.each([
    [
      "that do not exist",
      ["--heads", "3.1,9.0"],
      /head 9\.0 does not exist; this model has layers 0/,
    ],
    ["in a layer that has fewer", ["--heads", "0.8"], /head 0\.8 does not exist.*heads 0 to 7/],
    ["that are none", ["--heads", "three"], /"three" is not a head; write layer\.head/],
    ["that are named twice", ["--heads", "0.1,0.1"], /0\.1 is named twice/],
    ["of an MLP that does not exist", ["--mlps", "4"], /MLP 4 does not exist/],
    ["that nobody named", [], /no heads or MLPs are named; give --heads/],
    [
      "from a file that is not there",
      ["--from", "/no/such.json"],
      /--from \/no\/such\.json: ENOENT/,
    ],
    ["from another kind of file", ["--from", join(planted, "config.json")], /expected the JSON of/],
  ])("%s", async (_, args, message) => {
    expect(await failure([...knockout, ...args], 2)).toMatch(message);
  });
});

test("a memory budget that is too small", async () => {
  const budget = ["--memory-budget", "100kB"];
  const message = await failure([...identify(planted), ...budget], 4);
  expect(message).toMatch(/100[,.]?000|97\.7/);
  const plan = await json([...identify(planted), ...budget, "--dry-run"], 4);
  expect(plan).toMatchObject({ dryRun: true, plan: { fits: false, memoryBudget: 100_000 } });
});
