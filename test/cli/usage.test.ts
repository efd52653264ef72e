import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { failure, json, keyheads, planted, problems, scratch } from "./keyheads.ts";

const commands = [
  ...["run", "identify", "trace", "knockout", "circuit", "transfer", "attend", "lens", "tune"],
  ...["contributions", "ov", "controls", "robustness", "pretrain", "eval"],
  ...["compare-tuning", "merge", "diff", "compare-methods", "ground-truth"],
  ...["generate", "items", "report", "verify", "inspect", "doctor", "bench"],
];

describe.concurrent("help", () => {
  test("lists every command on stdout", async () => {
    const { code, stdout, stderr } = await keyheads("--help");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const name of commands) expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
  });

  test("without a command goes to stderr with exit code 2", async () => {
    const { code, stdout, stderr } = await keyheads();
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("Usage: keyheads");
  });

  test.each(commands)("%s has options and an example", async (name) => {
    const { code, stdout } = await keyheads(name, "--help");
    expect(code).toBe(0);
    expect(stdout).toMatch(/--json/);
    expect(stdout).toMatch(new RegExp(`keyheads ${name}`));
  });

  test("--version is the package's", async () => {
    const { version } = JSON.parse(readFileSync("packages/keyheads/package.json", "utf8"));
    expect((await keyheads("--version")).stdout).toBe(`${version}\n`);
  });
});

describe.concurrent("usage errors end with exit code 2", () => {
  const items = ["--items", problems];
  test.each([
    ["an unknown command", ["identifi", planted], /unknown command 'identifi'.*identify/s],
    ["an unknown option", ["identify", planted, ...items, "--tops", "3"], /--tops.*--top/s],
    ["a missing argument", ["identify", ...items], /model/],
    ["one argument too many", ["doctor", "please"], /too many arguments/],
    ["a missing option", ["identify", planted], /--items <file> is required/],
    ["an option without value", ["identify", planted, "--items"], /argument missing/],
    [
      "a choice that does not exist",
      ["identify", planted, ...items, "--method", "acdc"],
      /--method: expected one of exact, naive, activation, atp, .*, but got "acdc"/,
    ],
    [
      "a number out of range",
      ["identify", planted, ...items, "--threads", "0"],
      /--threads: expected a whole number of at least 1 and at most 1024, but got "0"/,
    ],
    [
      "a number that is none",
      ["identify", planted, ...items, "--seed", "1e3x"],
      /--seed: expected a whole number of at least 0 and at most 4294967295, but got "1e3x"/,
    ],
    [
      "a size that is none",
      ["identify", planted, ...items, "--memory-budget", "lots"],
      /--memory-budget: expected a number of bytes above 0.*but got "lots"/,
    ],
    [
      "a sender that does not exist",
      ["identify", planted, ...items, "--senders", "heads,norms"],
      /--senders: expected heads, mlps, embeds or neurons:3 \(of a layer\), but got "norms"/,
    ],
    [
      "a model that does not exist",
      ["inspect", "./no-such-model"],
      /no-such-model is neither a folder nor the name of a bundled model; bundled models: mathgpt_add3_h4_l4/,
    ],
  ])("%s", async (_, args, message) => {
    expect(await failure(args, 2)).toMatch(message);
  });

  test("a GPU that is not there is the environment's fault: 3", async () => {
    const message = await failure(["identify", planted, ...items, "--device", "cuda"], 3);
    expect(message).toMatch(/no CUDA device: .+; use "cpu"/);
    const rounding = await failure(["identify", planted, ...items, "--tf32"], 2);
    expect(rounding).toMatch(/--tf32 .* needs --device cuda/);
  });

  test("with --json the error is on stdout too", async () => {
    const { error } = await json(["identify", planted], 2);
    expect(error).toEqual({ code: "USAGE", message: "--items <file> is required" });
  });

  test("no color codes without a terminal", async () => {
    const { stderr } = await keyheads("identify", planted);
    expect(stderr).toBe("error: --items <file> is required\n");
  });
});

describe("--config", () => {
  const config = (content: string) => {
    const file = join(scratch(), "options.json");
    writeFileSync(file, content);
    return file;
  };

  test("gives options, and flags win over it", async () => {
    const file = config(JSON.stringify({ items: problems, draws: 10, method: "naive", seed: 3 }));
    const result = await json(["identify", planted, "--config", file, "--method", "exact"]);
    expect(result).toMatchObject({ method: "exact", items: { used: 300 } });
  });

  test.each([
    ["unknown keys", '{"tops": 3}', /identify has no option "tops"; it has .*method.*top/],
    ["wrong values", '{"items": "x", "seed": -1}', /--seed: expected a whole number.*got -1/],
    ["text for a flag", '{"items": "x", "strict": "yes"}', /--strict: expected true or false/],
    ["a list", "[1]", /expected one JSON object/],
    ["no JSON", "{", /is not JSON/],
  ])("%s are errors", async (_, content, message) => {
    expect(await failure(["identify", planted, "--config", config(content)], 2)).toMatch(message);
  });

  test("a file that is not there", async () => {
    expect(await failure(["doctor", "--config", "/no/such.json"], 2)).toContain("/no/such.json");
  });
});

describe("--out", () => {
  const args = (file: string) => ["identify", planted, "--items", problems, "--out", file];

  test("writes what --json prints, and never replaces without --force", async () => {
    const file = join(scratch(), "deep", "identify.json");
    const printed = await json([...args(file), "--draws", "10"]);
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(printed);
    writeFileSync(file, "mine");
    expect(await failure(args(file), 2)).toContain(`${file} exists`);
    expect(readFileSync(file, "utf8")).toBe("mine");
    expect(await keyheads(...args(file), "--draws", "10", "--force")).toMatchObject({ code: 0 });
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ schemaVersion: 1 });
  });

  test("a full disk is an error and leaves nothing behind", async () => {
    const { code, stderr } = await keyheads(...args("/dev/full"), "--draws", "10");
    expect(code).toBe(1);
    expect(stderr).toMatch(/error: \/dev\/full could not be written: ENOSPC/);
    expect(existsSync("/dev/full")).toBe(true);
  });
});

test("a stack is shown only when asked for", async () => {
  const quiet = await keyheads("inspect", "./no-such-model");
  expect(quiet.stderr).not.toContain("    at ");
});
