import { type Target, type TargetName, targets } from "./targets.ts";

/** What decides which addon fits. */
export interface System {
  readonly os: string;
  readonly cpu: string;
  /** Linux only: the C library that this Node uses. */
  readonly libc?: "glibc" | "musl";
  /** glibc only. */
  readonly glibc?: string;
  readonly node: string;
}

export function thisSystem(): System {
  const { platform: os, arch: cpu, version: node } = process;
  if (os !== "linux") return { os, cpu, node };
  const glibc = glibcVersion();
  return glibc ? { os, cpu, libc: "glibc", glibc, node } : { os, cpu, libc: "musl", node };
}

/** Node itself says which glibc it runs on, and nothing on musl. */
function glibcVersion(): string | undefined {
  const report = process.report as typeof process.report & { excludeNetwork?: boolean };
  report.excludeNetwork = true; // names of other machines are looked up otherwise
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return header?.glibcVersionRuntime;
}

const fits = (target: Target, { os, cpu, libc }: System) =>
  target.os === os && target.cpu === cpu && (!target.libc || !libc || target.libc === libc);

/** The targets that may run here; without `libc`, those of every C library. */
export function targetsFor(system: System): readonly TargetName[] {
  return (Object.keys(targets) as TargetName[]).filter((name) => fits(targets[name], system));
}

/** "linux x64 with glibc 2.36, Node v20.20.2" */
export function describeSystem({ os, cpu, libc, glibc, node }: System): string {
  const library = libc ? ` with ${libc}${glibc ? ` ${glibc}` : ""}` : "";
  return `${os} ${cpu}${library}, Node ${node}`;
}
