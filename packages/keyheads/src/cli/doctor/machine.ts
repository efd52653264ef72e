import { existsSync, readFileSync } from "node:fs";
import { availableParallelism, cpus, freemem, release, totalmem } from "node:os";
import { olderThan, oldestGlibc, oldestNode, targetsFor, thisSystem } from "@keyheads/native";
import { version } from "../../version.ts";
import { byteSize } from "../table.ts";
import { type Check, fine, note, problem } from "./check.ts";

const littleMemory = 2 * 2 ** 30;

export function installation(): Check {
  return fine("keyheads", `${version}, started as ${process.argv[1]}`);
}

export function nodeVersion(): Check {
  const value = `${process.version}, ${process.execPath}`;
  return olderThan(process.version, oldestNode)
    ? problem("Node", value, `install Node ${oldestNode} or newer from https://nodejs.org`)
    : fine("Node", value);
}

export function platform(): Check {
  const system = thisSystem();
  const value = `${system.os} ${system.cpu}, ${release()}`;
  const [target] = targetsFor(system);
  if (target) return fine("platform", `${value}; package @keyheads/${target}`);
  return note("platform", value, "there is no prebuilt addon for it: build one from a checkout");
}

export function libc(): Check[] {
  const { os, libc, glibc } = thisSystem();
  if (os !== "linux") return [];
  if (libc === "musl") return [fine("C library", "musl")];
  const old = glibc !== undefined && olderThan(glibc, oldestGlibc);
  return [
    old
      ? problem("C library", `glibc ${glibc}`, `glibc ${oldestGlibc} or newer is needed`)
      : fine("C library", `glibc ${glibc}`),
  ];
}

/** CPUs that Node sees, and how many of them this process may use. */
export function processors(): Check {
  const [all, allowed] = [cpus().length, availableParallelism()];
  const quota = cgroupQuota();
  const limit = quota === undefined ? "" : `, a quota of ${quota} (cgroup)`;
  return fine("CPUs", `${allowed} of ${all} allowed${limit}`);
}

/** CPUs' worth of time, where a container limits it. */
function cgroupQuota(): number | undefined {
  const path = "/sys/fs/cgroup/cpu.max";
  if (!existsSync(path)) return undefined;
  const [quota, period] = readFileSync(path, "utf8").trim().split(" ").map(Number);
  return quota && period ? quota / period : undefined;
}

export function memory(): Check {
  const limit = process.constrainedMemory();
  const total = limit > 0 && limit < totalmem() ? limit : totalmem();
  const free = Math.min(freemem(), total);
  const value = `${byteSize(free)} free of ${byteSize(total)}`;
  return free < littleMemory
    ? note("memory", value, "use --memory-budget, so that a run stops before the machine does")
    : fine("memory", value);
}

/** What the environment changes. */
export function settings(): Check {
  const set = Object.entries(process.env)
    .filter(([name]) => name.startsWith("KEYHEADS_"))
    .map(([name, value]) => `${name}=${value}`);
  return fine("environment", set.length > 0 ? set.join(" ") : "no KEYHEADS_ variable is set");
}
