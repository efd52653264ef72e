/** The systems that prebuilt addons exist for. Each is an npm package, `@keyheads/<name>`. */
export interface Target {
  readonly os: "linux" | "darwin" | "win32";
  readonly cpu: "x64" | "arm64";
  /** Linux only, as npm spells it. */
  readonly libc?: "glibc" | "musl";
}

export const targets = {
  "linux-x64-gnu": { os: "linux", cpu: "x64", libc: "glibc" },
  "linux-x64-musl": { os: "linux", cpu: "x64", libc: "musl" },
  "linux-arm64-gnu": { os: "linux", cpu: "arm64", libc: "glibc" },
  "darwin-arm64": { os: "darwin", cpu: "arm64" },
  "darwin-x64": { os: "darwin", cpu: "x64" },
  "win32-x64": { os: "win32", cpu: "x64" },
} as const satisfies Record<string, Target>;

export type TargetName = keyof typeof targets;

/** The oldest glibc that the addons for Linux run on; a check of the binaries keeps it true. */
export const oldestGlibc = "2.28";

/** The same for the CUDA library, whose runtime needs a newer one. */
export const oldestGlibcForCuda = "2.34";

/** The oldest Node that keyheads runs on. */
export const oldestNode = "20.19";

/** Whether version `a` comes before `b`; both are numbers with dots, of any length. */
export function olderThan(a: string, b: string): boolean {
  const [left, right] = [a, b].map((text) => text.replace(/^v/, "").split(".").map(Number));
  for (let i = 0; i < (right as number[]).length; ++i) {
    const [x, y] = [left?.[i] ?? 0, right?.[i] ?? 0];
    if (x !== y) return x < y;
  }
  return false;
}
