/** What this machine and this installation have, and what to do about what they lack. */
import { existsSync } from "node:fs";
import { availableParallelism, freemem, totalmem } from "node:os";
import { bundledModels } from "@keyheads/models";
import { loadBinding, schemaHash } from "@keyheads/native";
import { defineCommand } from "../command.ts";
import { optional } from "../options.ts";
import { byteSize, table } from "../table.ts";

type Status = "ok" | "note" | "problem";
interface Check {
  readonly name: string;
  readonly status: Status;
  readonly value: string;
  /** What to do; empty where there is nothing to do. */
  readonly remedy: string;
}

const environmentError = 3;
const oldestNode = [20, 19] as const;
const littleMemory = 2 * 2 ** 30;

export const command = defineCommand({
  name: "doctor",
  summary: "check this machine and say what to do",
  examples: ["doctor", "doctor --json"],
  options: optional,
  async run() {
    const checks = [
      nodeVersion(),
      platform(),
      libc(),
      ...addon(),
      threads(),
      memory(),
      cuda(),
      models(),
    ];
    const ok = checks.every(({ status }) => status !== "problem");
    return {
      data: { ok, checks },
      text: () => show(checks, ok),
      exitCode: ok ? 0 : environmentError,
    };
  },
});

function nodeVersion(): Check {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const recent = major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1]);
  return check("Node", recent, process.version, `install Node ${oldestNode.join(".")} or newer`);
}

function platform(): Check {
  const { platform: system, arch } = process;
  const supported = system === "linux" && arch === "x64";
  return check("platform", supported, `${system} ${arch}`, "this version runs on Linux x64");
}

function libc(): Check {
  const version = systemReport().header?.glibcVersionRuntime;
  return check("C library", true, version ? `glibc ${version}` : "not glibc (musl?)", "");
}

function addon(): Check[] {
  try {
    const binding = loadBinding();
    const { isa, cpu, gemm, threads, compiler, napi } = binding.info();
    const oldCpu = isa === "x86-64-v2";
    return [
      check("addon", true, `${addonPath()} (Node-API ${napi}, ${compiler})`, ""),
      check("hook table", true, binding.schemaHash, ""),
      {
        name: "CPU",
        status: oldCpu ? "note" : "ok",
        value: `${cpu}, kernels for ${isa}`,
        remedy: oldCpu ? "a CPU with AVX2 is several times faster" : "",
      },
      check("matrix products", true, gemm, ""),
      check("engine threads", true, String(threads), ""),
    ];
  } catch (error) {
    const { code = "", message } = error as { code?: string; message: string };
    const found = code === "STALE_BINARY" ? `out of date (expected ${schemaHash})` : "not loaded";
    return [{ name: "addon", status: "problem", value: found, remedy: message }];
  }
}

/** The part of Node's diagnostic report that is of use here. */
function systemReport() {
  return process.report.getReport() as {
    readonly header?: { readonly glibcVersionRuntime?: string };
    readonly sharedObjects?: readonly string[];
  };
}

/** The file that the addon was loaded from. */
function addonPath(): string {
  return systemReport().sharedObjects?.find((path) => path.endsWith(".node")) ?? "loaded";
}

function threads(): Check {
  return check("allowed CPUs", true, String(availableParallelism()), "");
}

function memory(): Check {
  const limit = process.constrainedMemory();
  const total = limit > 0 && limit < totalmem() ? limit : totalmem();
  const free = Math.min(freemem(), total);
  const little = free < littleMemory;
  return {
    name: "memory",
    status: little ? "note" : "ok",
    value: `${byteSize(free)} free of ${byteSize(total)}`,
    remedy: little ? "use --memory-budget, so that a run stops before the machine does" : "",
  };
}

function cuda(): Check {
  return {
    name: "CUDA",
    status: "note",
    value: "not built: this version computes on the CPU only",
    remedy: "",
  };
}

function models(): Check {
  const missing = bundledModels.filter(({ folder }) => !existsSync(folder));
  const value = bundledModels.map(({ name }) => name).join(", ");
  return check("bundled models", missing.length === 0, value, "install the package again");
}

function check(name: string, ok: boolean, value: string, remedy: string): Check {
  return { name, status: ok ? "ok" : "problem", value, remedy: ok ? "" : remedy };
}

function show(checks: readonly Check[], ok: boolean): string {
  const rows = checks.map(({ name, status, value }) => [name, status, value]);
  const remedies = checks
    .filter(({ remedy }) => remedy !== "")
    .map(({ name, remedy }) => `${name}: ${remedy}\n`);
  const verdict = ok ? "keyheads can run here\n" : "keyheads cannot run here\n";
  return `${table(["check", "status", "found"], rows)}\n${remedies.join("")}${verdict}`;
}
