// CUDA comes as a library of its own, which is looked for when it is asked for: what this machine
// has, and why it cannot be used.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cudaLibraryFile, installedCuda } from "./prebuilt.ts";
import { olderThan } from "./targets.ts";

export const cudaPackage = "@keyheads/cuda-linux-x64";

/** The driver that CUDA 13 needs on Linux. */
export const oldestDriver = "580.65";

/** Where the CUDA library came from. */
export interface CudaLibrary {
  readonly file: string;
  readonly kind: "KEYHEADS_CUDA_LIBRARY" | "local build" | "package";
}

/** A GPU as the CUDA runtime sees it. */
export interface CudaDevice {
  readonly name: string;
  /** Compute capability, such as "9.0". */
  readonly capability: string;
  readonly multiprocessors: number;
  readonly totalBytes: number;
  /** Of the driver and of the runtime in the library, as CUDA counts them: 13000 is 13.0. */
  readonly driver: number;
  readonly runtime: number;
  /** Version of cuBLASLt, or 0: then keyheads' own, slower matrix products are used. */
  readonly cublasLt: number;
}

export interface CudaStatus {
  readonly library: CudaLibrary | undefined;
  /** Version of the package, or undefined where it is not installed. */
  readonly package: string | undefined;
  /** Version of the NVIDIA driver, from its own file. */
  readonly driver: string | undefined;
  /** Names of the GPUs that the driver lists. */
  readonly gpus: readonly string[];
  /** What the library can compute on; asked for in a process of its own. */
  readonly devices: readonly CudaDevice[];
  /** Why no CUDA device can be used, and what to do; undefined where one can. */
  readonly problem: string | undefined;
}

const here = dirname(fileURLToPath(import.meta.url));
/** This file runs from native/ (sources) and from native/dist/ (built). */
const localBuilds = [here, dirname(here)].map((folder) =>
  join(folder, "build", "Release", "keyheads_cuda.so"),
);

/** KEYHEADS_CUDA_LIBRARY, then a build of this checkout, then the package. */
export function findCudaLibrary(): CudaLibrary | undefined {
  const given = process.env.KEYHEADS_CUDA_LIBRARY;
  if (given) return { file: given, kind: "KEYHEADS_CUDA_LIBRARY" };
  const local = localBuilds.find(existsSync);
  if (local) return { file: local, kind: "local build" };
  const installed = cudaLibraryFile();
  return installed === undefined ? undefined : { file: installed, kind: "package" };
}

/** What decides whether CUDA can be used; tests name another driver or library. */
export interface CudaQuestion {
  /** The addon's file, which opens the library in a process of its own. */
  readonly addon: string;
  /** Version that the package must have. */
  readonly version: string;
  /** The folder of the driver. */
  readonly proc?: string;
  readonly library?: CudaLibrary | undefined;
  /** Version of the installed package. */
  readonly installed?: string | undefined;
}

/** What this machine has for CUDA. Takes about a second where there is a library to ask. */
export function cudaStatus({
  addon,
  version,
  proc = "/proc/driver/nvidia",
  library = findCudaLibrary(),
  installed = installedCuda(),
}: CudaQuestion): CudaStatus {
  const machine = { driver: driverVersion(proc), gpus: gpuNames(proc) };
  const found = { library, package: installed, ...machine, devices: [] };
  // A library that is named by hand may need no driver: that of the tests runs on the CPU.
  const byHand = library?.kind === "KEYHEADS_CUDA_LIBRARY";
  const missing = byHand ? undefined : machineProblem(machine.driver, machine.gpus);
  if (!library) return { ...found, problem: sentences(missing, howToInstall(version)) };
  if (library.kind === "package" && installed !== version) {
    return { ...found, problem: differentVersion(installed, version) };
  }
  if (missing) return { ...found, problem: missing };
  const answer = ask(addon, library.file);
  if ("problem" in answer) return { ...found, problem: answer.problem };
  return { ...found, devices: answer.devices, problem: unusable(answer.devices, library) };
}

const differentVersion = (found: string | undefined, version: string) =>
  `${cudaPackage} is version ${found}, and keyheads is version ${version}: both must be the same; ${install(version)}`;

const sentences = (...parts: readonly (string | undefined)[]) =>
  parts.filter((part) => part !== undefined).join("; ");

const install = (version: string) => `npm install ${cudaPackage}@${version}`;
const howToInstall = (version: string) =>
  `the CUDA library is not installed: ${install(version)}, or build it in a checkout where nvcc is`;

const oldestCapability = 8;

function unusable(devices: readonly CudaDevice[], { file }: CudaLibrary): string | undefined {
  if (devices.length === 0) {
    return `${file} finds no CUDA device; look at nvidia-smi, and at CUDA_VISIBLE_DEVICES (${process.env.CUDA_VISIBLE_DEVICES ?? "not set"})`;
  }
  const usable = devices.some(
    ({ capability }) => Number.parseInt(capability, 10) >= oldestCapability,
  );
  if (usable) return undefined;
  const list = devices.map(({ name, capability }) => `${name} has ${capability}`).join(", ");
  return `compute capability 8.0 or newer is needed (Ampere, Hopper, Blackwell); ${list}`;
}

/** A broken driver can end the process that calls it: so another one does. */
const question = `
  const module = { exports: {} };
  process.dlopen(module, process.argv[1]);
  const answer = (value) => process.stdout.write(JSON.stringify(value));
  module.exports.devices(process.argv[2], { job: 1 }).then(
    (devices) => answer({ devices }),
    (error) => answer({ problem: error.message }),
  );`;

type Answer = { readonly devices: readonly CudaDevice[] } | { readonly problem: string };

function ask(addon: string, library: string): Answer {
  const seconds = 60;
  const asked = spawnSync(process.execPath, ["-e", question, addon, library], {
    encoding: "utf8",
    timeout: seconds * 1000,
    killSignal: "SIGKILL",
  });
  try {
    return JSON.parse(asked.stdout) as Answer;
  } catch {
    const end = asked.signal ?? `exit code ${asked.status}`;
    const last = asked.stderr?.trim().split("\n").at(-1);
    return {
      problem: `the CUDA driver did not answer within ${seconds} s or ended the process that asked (${end}${last ? `: ${last}` : ""}); look at nvidia-smi, and install the driver again`,
    };
  }
}

function machineProblem(driver: string | undefined, gpus: readonly string[]): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") return "CUDA needs Linux x64";
  if (!driver) return "no NVIDIA driver was found";
  if (olderThan(driver, oldestDriver)) {
    return `the NVIDIA driver is ${driver}, and ${oldestDriver} or newer is needed`;
  }
  if (gpus.length === 0) return `the NVIDIA driver ${driver} lists no GPU`;
  return undefined;
}

/** "580.65.06" from the driver's own version file. */
function driverVersion(proc: string): string | undefined {
  const text = readText(join(proc, "version"));
  return /Kernel Module.*?\s(\d+\.\d+(?:\.\d+)*)\s/.exec(text)?.[1];
}

function gpuNames(proc: string): string[] {
  let folders: string[];
  try {
    folders = readdirSync(join(proc, "gpus"));
  } catch {
    return [];
  }
  return folders.map((folder) => {
    const text = readText(join(proc, "gpus", folder, "information"));
    return /^Model:\s*(.+)$/m.exec(text)?.[1] ?? folder;
  });
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
