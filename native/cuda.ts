// CUDA comes as a package of its own that the user adds; it is looked for when it is asked for.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { installedCuda } from "./prebuilt.ts";
import { olderThan } from "./targets.ts";

export const cudaPackage = "@keyheads/cuda-linux-x64";

/** The driver that CUDA 13 needs on Linux. */
export const oldestDriver = "580.65";

export interface CudaStatus {
  /** Version of the package, or undefined where it is not installed. */
  readonly package: string | undefined;
  readonly driver: string | undefined;
  /** Names of the GPUs that the driver lists. */
  readonly gpus: readonly string[];
  /** Why no CUDA device can be used, and what to do. */
  readonly problem: string;
}

/**
 * What this machine has for CUDA, without calling into a driver (a broken one can end the process).
 * @param proc the folder of the driver, elsewhere in tests
 */
export function cudaStatus(proc = "/proc/driver/nvidia"): CudaStatus {
  const found = { package: installedCuda(), driver: driverVersion(proc), gpus: gpuNames(proc) };
  return { ...found, problem: problemOf(found) };
}

function problemOf({ driver, gpus }: Omit<CudaStatus, "problem">): string {
  const machine = machineProblem(driver, gpus);
  const backend = `this version computes on the CPU only: CUDA will come as ${cudaPackage}, which is not published yet`;
  return machine ? `${machine}; ${backend}` : backend;
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
