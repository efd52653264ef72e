// What a user reads when the addon cannot be loaded; `npm run release:dry` provokes the same in
// installed packages.
import { describe, expect, it } from "vitest";
import { explainFailure } from "../../native/explain.ts";
import { version } from "../../native/generated/version.ts";
import { type System, targetsFor, thisSystem } from "../../native/system.ts";
import { olderThan, targets } from "../../native/targets.ts";

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
