// What a user reads when the addon cannot be loaded; `npm run release:dry` provokes the same in
// installed packages. And what is said of CUDA, from files as NVIDIA's driver has them.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { cudaStatus } from "../../native/cuda.ts";
import { explainFailure } from "../../native/explain.ts";
import { version } from "../../native/generated/version.ts";
import { type System, targetsFor, thisSystem } from "../../native/system.ts";
import { olderThan, targets } from "../../native/targets.ts";
import { KeyheadsError, Model } from "../../packages/keyheads/src/index.ts";

const debian: System = { os: "linux", cpu: "x64", libc: "glibc", glibc: "2.36", node: "v20.20.2" };
const alpine: System = { os: "linux", cpu: "x64", libc: "musl", node: "v22.0.0" };

describe("which package fits", () => {
  it.each([
    [debian, ["linux-x64-gnu"]],
    [alpine, ["linux-x64-musl"]],
    [{ os: "linux", cpu: "x64", node: "v20.20.2" }, ["linux-x64-gnu", "linux-x64-musl"]],
    [{ ...debian, cpu: "arm64" }, ["linux-arm64-gnu"]],
    [{ os: "darwin", cpu: "arm64", node: "v20.20.2" }, ["darwin-arm64"]],
    [{ os: "win32", cpu: "x64", node: "v20.20.2" }, ["win32-x64"]],
    [{ os: "win32", cpu: "arm64", node: "v20.20.2" }, []],
    [{ os: "sunos", cpu: "x64", node: "v20.20.2" }, []],
  ] as const)("%o", (system, names) => expect(targetsFor(system)).toEqual(names));

  it("this machine's C library is known", () => {
    const { os, libc, glibc } = thisSystem();
    if (os === "linux") expect(libc === "glibc" ? glibc : libc).toMatch(/^(\d+\.\d+|musl)$/);
    expect(Object.keys(targets)).toContain(targetsFor(thisSystem())[0]);
  });

  it.each([
    ["2.17", "2.28", true],
    ["2.28", "2.28", false],
    ["2.31", "2.4", false],
    ["v18.20.1", "20.19", true],
    ["v20.19.0", "20.19", false],
    ["580.65.06", "580.65", false],
  ])("%s before %s: %s", (a, b, answer) => expect(olderThan(a, b)).toBe(answer));
});

describe("explanations", () => {
  const text = (...args: Parameters<typeof explainFailure>) => {
    const error = explainFailure(...args) as Error & { code: string };
    expect(error.code).toBe("NO_BINARY");
    return error.message;
  };
  const broken = (message: string) => new Error(message);

  it("no package: how to install it", () => {
    const message = text(debian, [], []);
    expect(message).toContain("this machine: linux x64 with glibc 2.36, Node v20.20.2");
    expect(message).toContain(`expected: @keyheads/linux-x64-gnu ${version}`);
    expect(message).toContain(`--include=optional @keyheads/linux-x64-gnu@${version}`);
  });
  it("the package of another C library: what to remove", () => {
    const cause = broken("libc.musl-x86_64.so.1: cannot open shared object file");
    const message = text(debian, [{ name: "linux-x64-musl", cause }], ["linux-x64-musl"]);
    expect(message).toContain("installed: @keyheads/linux-x64-musl");
    expect(message).toContain("libc.musl-x86_64.so.1: cannot open");
    expect(message).toContain("rm -rf node_modules");
  });
  it("a glibc that is too old", () => {
    const cause = broken("version `GLIBC_2.27' not found");
    const old = { ...debian, glibc: "2.17" };
    const message = text(old, [{ name: "linux-x64-gnu", cause }], ["linux-x64-gnu"]);
    expect(message).toContain("glibc 2.28 or newer is needed");
  });
  it("a processor without SSE4.2: no new installation helps", () => {
    const cause = Object.assign(broken("this processor (Core 2 Duo) lacks SSE4.2"), {
      code: "OLD_PROCESSOR",
    });
    const message = text(debian, [{ name: "linux-x64-gnu", cause }], ["linux-x64-gnu"]);
    expect(message).toContain("this processor (Core 2 Duo) lacks SSE4.2");
    expect(message).toContain("every build for x64 needs SSE4.2");
    expect(message).not.toMatch(/damaged|npm install/);
  });
  it("a Node that is too old", () => {
    expect(text({ ...debian, node: "v18.20.1" }, [], [])).toContain("Node 20.19 or newer");
  });
  it("a system without a prebuilt addon", () => {
    const message = text({ os: "freebsd", cpu: "x64", node: "v20.20.2" }, [], []);
    expect(message).toMatch(/one of linux-x64-gnu, .*build it from a checkout/s);
  });
});

describe("CUDA", () => {
  /** A folder as /proc/driver/nvidia. */
  function driver(version: string, gpus: readonly string[]): string {
    const folder = mkdtempSync(join(tmpdir(), "keyheads-driver-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(
      join(folder, "version"),
      `NVRM version: NVIDIA UNIX ${version}  Release Build  (root@)\nGCC version: gcc 12.2.0\n`,
    );
    for (const [i, name] of gpus.entries()) {
      mkdirSync(join(folder, "gpus", `0000:0${i}:00.0`), { recursive: true });
      writeFileSync(
        join(folder, "gpus", `0000:0${i}:00.0`, "information"),
        `Model: \t\t ${name}\nIRQ:   \t\t 17\n`,
      );
    }
    return folder;
  }
  const closed = "x86_64 Kernel Module  535.129.03";
  const open = "Open Kernel Module for x86_64  580.65.06";

  it("no driver", () => {
    const status = cudaStatus("/no/such/folder");
    expect(status).toMatchObject({ driver: undefined, gpus: [] });
    expect(status.problem).toMatch(/^no NVIDIA driver was found; .*@keyheads\/cuda-linux-x64/);
  });
  it("a driver that is too old", () => {
    const status = cudaStatus(driver(closed, ["NVIDIA A100"]));
    expect(status).toMatchObject({ driver: "535.129.03", gpus: ["NVIDIA A100"] });
    expect(status.problem).toMatch(/^the NVIDIA driver is 535.129.03, and 580.65 or newer/);
  });
  it("a driver without a GPU", () => {
    const { problem } = cudaStatus(driver(open, []));
    expect(problem).toMatch(/^the NVIDIA driver 580.65.06 lists no GPU/);
  });
  it("a machine that has all, but for the package", () => {
    const { gpus, problem } = cudaStatus(driver(open, ["NVIDIA H200", "NVIDIA H200"]));
    expect(gpus).toEqual(["NVIDIA H200", "NVIDIA H200"]);
    expect(problem).toMatch(/^this version computes on the CPU only/);
  });
  it("is refused, never replaced by the CPU", async () => {
    const error = await Model.load("anything", { device: "cuda" }).catch((cause) => cause);
    expect(error).toBeInstanceOf(KeyheadsError);
    expect(error).toMatchObject({
      code: "NO_DEVICE",
      message: expect.stringContaining("@keyheads/cuda-linux-x64"),
    });
  });
});
