// A process that answers one JSON line for each JSON line it is given.
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";

/** A Python with torch and transformers: KEYHEADS_PYTHON, else python3 if it has them. */
export function findPython(): string | undefined {
  const python = process.env.KEYHEADS_PYTHON ?? "python3";
  const probe = spawnSync(python, ["-c", "import torch, transformers, safetensors"]);
  return probe.status === 0 ? python : undefined;
}

export class Peer implements Disposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  /** Runs a script of this folder; `env` is added to this process's environment. */
  constructor(command: string | readonly string[], script: string, env = {}) {
    const [program = "", ...options] = [command].flat();
    const file = fileURLToPath(new URL(script, import.meta.url));
    this.#child = spawn(program, [...options, file], { env: { ...process.env, ...env } });
    this.#child.stderr.pipe(process.stderr);
    this.#reader = createInterface(this.#child.stdout);
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** Sends a value and waits for the answer. */
  async ask<T>(value: unknown): Promise<T> {
    this.#child.stdin.write(`${JSON.stringify(value)}\n`);
    const line = await this.#lines.next();
    if (line.done) throw new Error("the process ended without an answer");
    return JSON.parse(line.value) as T;
  }

  [Symbol.dispose](): void {
    this.#reader.close();
    this.#child.kill();
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] as number)) / 2;
}
