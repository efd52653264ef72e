// What a user reads when no addon could be loaded: what was found, what was expected, what to do.
import { version } from "./generated/version.ts";
import { installedTargets } from "./prebuilt.ts";
import { describeSystem, type System, targetsFor } from "./system.ts";
import { olderThan, oldestGlibc, oldestNode, type TargetName, targets } from "./targets.ts";

export interface FailedAttempt {
  readonly name: TargetName;
  readonly cause: unknown;
}

/** The code of the error that an addon throws on a processor that could not run it. */
const oldProcessor = "OLD_PROCESSOR";

/** What to do about an addon that could not be loaded: `otherwise`, if the processor is not the cause. */
export const remedyFor = (cause: unknown, otherwise: string): string =>
  (cause as { code?: string }).code === oldProcessor
    ? "every build for x64 needs SSE4.2 (Intel since 2008, AMD since 2011): use another machine"
    : otherwise;

export type LoadErrorCode = "NO_BINARY" | "STALE_BINARY";

export function loadError(code: LoadErrorCode, message: string, cause?: unknown): Error {
  const reason = cause === undefined ? "" : `\n  ${firstLine(cause)}`;
  return Object.assign(new Error(message + reason, { cause }), { code });
}

const firstLine = (cause: unknown) =>
  (cause instanceof Error ? cause.message : String(cause)).split("\n")[0];

const list = (names: readonly TargetName[]) => names.map((name) => `@keyheads/${name}`).join(", ");

/** NO_BINARY for a system on which no package with an addon could be loaded. */
export function explainFailure(
  system: System,
  failed: readonly FailedAttempt[],
  installed: readonly TargetName[] = installedTargets(),
): Error {
  const [wanted] = targetsFor(system);
  const lines = [
    "the keyheads addon could not be loaded",
    `  this machine: ${describeSystem(system)}`,
    `  expected: ${wanted ? `@keyheads/${wanted} ${version}` : `one of ${Object.keys(targets).join(", ")}`}`,
    `  installed: ${installed.length > 0 ? list(installed) : "no package with an addon"}`,
    ...failed.map(({ name, cause }) => `  @keyheads/${name}: ${firstLine(cause)}`),
    ...remedies(system, wanted, failed, installed).map((remedy) => `  ${remedy}`),
  ];
  return loadError("NO_BINARY", lines.join("\n"));
}

function remedies(
  { node, libc, glibc }: System,
  wanted: TargetName | undefined,
  failed: readonly FailedAttempt[],
  installed: readonly TargetName[],
): string[] {
  if (olderThan(node, oldestNode)) {
    return [`Node ${oldestNode} or newer is needed: install it from https://nodejs.org`];
  }
  if (!wanted) return ["there is no prebuilt addon for this system; build it from a checkout"];
  if (libc === "glibc" && glibc && olderThan(glibc, oldestGlibc)) {
    return [`glibc ${oldestGlibc} or newer is needed: use a newer system or container`];
  }
  const own = failed.find(({ name }) => name === wanted);
  if (own) {
    const damaged = `the file is damaged or another library is missing: npm install keyheads@${version}`;
    return [remedyFor(own.cause, damaged)];
  }
  if (installed.length > 0) {
    return [
      "node_modules was installed on another system (copied, or shared with a container);",
      `remove it and install here: rm -rf node_modules && npm install`,
    ];
  }
  return [
    "optional dependencies were left out (--omit=optional, --no-optional, or a lockfile that was",
    `made without this system): npm install --include=optional @keyheads/${wanted}@${version}`,
  ];
}
