// Runs the built command line as a user does: a process with arguments, two streams, an exit code.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished } from "vitest";

export const root = fileURLToPath(new URL("../../", import.meta.url));
export const fixture = (name: string) => join(root, "test", "fixtures", name);
export const planted = fixture("planted");
export const problems = join(planted, "problems.jsonl");

const program = join(root, "packages", "keyheads", "bin", "keyheads.mjs");

// The process runs what is built, so build it: a moment when nothing has changed. Type errors are
// another check's business (scripts/test.mjs).
spawnSync(join(root, "node_modules", ".bin", "tsc"), ["-b"], { cwd: root });

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCli {
  readonly process: ChildProcess;
  readonly outcome: Promise<Outcome>;
  /** Resolves once stderr contains the text. */
  seen(text: string): Promise<void>;
}

export function start(args: readonly string[], env: Record<string, string> = {}): RunningCli {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  const waiting: { text: string; resolve: () => void }[] = [];
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    stdout += chunk;
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    stderr += chunk;
    for (const { text, resolve } of waiting) if (stderr.includes(text)) resolve();
  });
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
  return {
    process: child,
    outcome,
    seen: (text) =>
      new Promise((resolve, reject) => {
        if (stderr.includes(text)) resolve();
        else waiting.push({ text, resolve });
        void outcome.then(() => reject(new Error(`ended without "${text}": ${stderr}`)));
      }),
  };
}

export function keyheads(...args: readonly string[]): Promise<Outcome> {
  return start(args).outcome;
}

/** Runs with --json: stdout is exactly one object with schemaVersion; the code is as expected. */
export async function json(args: readonly string[], code = 0): Promise<Record<string, unknown>> {
  const outcome = await keyheads(...args, "--json");
  expect(outcome, outcome.stderr).toMatchObject({ code });
  expect(outcome.stdout.endsWith("\n")).toBe(true);
  expect(outcome.stdout.trimEnd()).not.toContain("\n");
  const parsed = JSON.parse(outcome.stdout) as Record<string, unknown>;
  expect(parsed).toMatchObject({ schemaVersion: 1 });
  return parsed;
}

/** Runs what must fail: exit code, one clear line on stderr, nothing on stdout; gives stderr. */
export async function failure(args: readonly string[], code: number): Promise<string> {
  const outcome = await keyheads(...args);
  expect(outcome, outcome.stderr).toMatchObject({ code, stdout: "" });
  expect(outcome.stderr).toMatch(/^error: /m);
  expect(outcome.stderr).not.toMatch(/\n {4}at /);
  return outcome.stderr;
}

/** A folder that is gone after the test. */
export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), "keyheads-cli-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
