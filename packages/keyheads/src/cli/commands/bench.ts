/** Lists the benchmark scripts of a checkout and runs one of them. */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { KeyheadsError } from "../../errors.ts";
import { defineCommand } from "../command.ts";
import { optional } from "../options.ts";
import { table } from "../table.ts";

interface Benchmark {
  readonly name: string;
  readonly file: string;
  /** The first sentence of the comment that the script opens with. */
  readonly about: string;
}

export const command = defineCommand({
  name: "bench",
  summary: "list or run the benchmarks of a checkout",
  argument: { usage: "[name]", help: "a benchmark; without it they are listed" },
  examples: ["bench", "bench sweep"],
  options: optional,
  async run({ target }, cli) {
    const benchmarks = listBenchmarks();
    if (target === "") {
      return {
        data: { benchmarks: benchmarks.map(({ name, about }) => ({ name, about })) },
        text: () =>
          table(
            ["name", "about"],
            benchmarks.map(({ name, about }) => [name, about]),
          ),
      };
    }
    const found = benchmarks.find(({ name }) => name === target);
    if (!found) {
      const names = benchmarks.map(({ name }) => name).join(", ");
      throw new KeyheadsError("USAGE", `there is no benchmark "${target}"; there are: ${names}`);
    }
    const { output, exitCode } = await runScript(found.file, cli.signal);
    return {
      data: { name: found.name, exitCode, result: parsed(output) },
      text: () => output,
      exitCode,
    };
  },
});

/** Scripts of bench/ that say how they are run; other files there are their helpers. */
function listBenchmarks(): Benchmark[] {
  const folder = join(checkout(), "bench");
  return readdirSync(folder)
    .filter((name) => name.endsWith(".ts"))
    .sort()
    .flatMap((name) => {
      const file = join(folder, name);
      const opening = /^(\/\/.*\n)*/.exec(readFileSync(file, "utf8"))?.[0] ?? "";
      if (!opening.includes(`tsx bench/${name}`)) return [];
      const text = opening.replace(/^\/\/ ?/gm, "").replace(/\s+/g, " ");
      const about = text.split(/(?<=\.)\s/)[0] ?? "";
      return [{ name: name.replace(/\.ts$/, ""), file, about }];
    });
}

/** The repository that this file runs from; USAGE outside one. */
function checkout(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "pnpm-workspace.yaml")) || !existsSync(join(folder, "bench"))) {
    const above = dirname(folder);
    if (above === folder) {
      throw new KeyheadsError(
        "USAGE",
        "benchmarks are part of the repository, not of the npm package; run this from a checkout",
      );
    }
    folder = above;
  }
  return folder;
}

/** Runs a script with its progress on stderr. */
async function runScript(file: string, signal: AbortSignal) {
  const root = checkout();
  const tsx = join(root, "node_modules", ".bin", "tsx");
  const child = spawn(tsx, [file], { cwd: root, stdio: ["ignore", "pipe", "inherit"], signal });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
  });
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
  return { output, exitCode };
}

/** Benchmarks print one JSON object; what is none is kept as text. */
function parsed(output: string): unknown {
  try {
    return JSON.parse(output);
  } catch {
    return output;
  }
}
