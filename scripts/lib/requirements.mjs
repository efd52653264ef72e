// What a machine must have before anything can be built. Each check returns a line to print or
// throws with the remedy and exit code 3 (environment).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { firstCommand, outputOf, root, StepError } from "./process.mjs";

const environment = 3;
const oldestNode = [20, 19];

/** What the sources are written for; docs/installing.md says which of them was tried how. */
const platforms = ["linux x64", "linux arm64", "darwin x64", "darwin arm64"];

export function checkPlatform() {
  const platform = `${process.platform} ${process.arch}`;
  if (platforms.includes(platform)) return platform;
  throw new StepError(
    `the engine builds on ${platforms.join(", ")}, and this is ${platform}`,
    "use a Linux machine, container or virtual machine",
    environment,
  );
}

export function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])) {
    return process.version;
  }
  throw new StepError(
    `Node ${oldestNode.join(".")} or newer is needed, and this is ${process.version}`,
    "install it from https://nodejs.org or with a version manager (the checkout has a .node-version)",
    environment,
  );
}

/** Returns the compiler's command and version line. */
export function findCompiler() {
  const command = firstCommand([process.env.CXX, "c++", "g++", "clang++"]);
  if (!command) {
    throw new StepError(
      "no C++ compiler was found (tried $CXX, c++, g++, clang++)",
      "Debian, Ubuntu: apt-get install g++   Fedora: dnf install gcc-c++   Alpine: apk add g++",
      environment,
    );
  }
  return { command, version: outputOf(command, ["--version"]).split("\n")[0] };
}

/** Compiles a line of C++20 with the headers that the engine's newest parts need. */
export function checkCpp20({ command, version }) {
  const source = "#include <concepts>\n#include <span>\nint f(std::integral auto x) { return x; }";
  const args = ["-std=c++20", "-fsyntax-only", "-x", "c++", "-"];
  if (outputOf(command, args, { input: source }) !== undefined) return;
  throw new StepError(
    `${command} (${version}) does not compile C++20`,
    "g++ 11 or clang++ 14 and newer do; set CXX to one of them",
    environment,
  );
}

export function checkCMake() {
  const needed = /cmake_minimum_required\(VERSION ([\d.]+)/.exec(
    readFileSync(join(root, "native", "CMakeLists.txt"), "utf8"),
  )?.[1];
  const found = /([\d.]+)/.exec(outputOf("cmake", ["--version"]) ?? "")?.[1];
  const remedy =
    "Debian, Ubuntu: apt-get install cmake   Fedora: dnf install cmake   Alpine: apk add cmake";
  if (!found) throw new StepError("CMake was not found", remedy, environment);
  if (needed && olderThan(found, needed)) {
    throw new StepError(`CMake ${needed} is needed, and this is ${found}`, remedy, environment);
  }
  if (!firstCommand(["ninja", "make", "gmake"])) {
    throw new StepError(
      "neither ninja nor make was found; CMake needs one of them",
      "Debian, Ubuntu: apt-get install ninja-build   Fedora: dnf install ninja-build",
      environment,
    );
  }
  return found;
}

export function checkNpx() {
  if (outputOf("npx", ["--version"]) !== undefined) return;
  throw new StepError(
    "npx was not found",
    "install npm, which brings it along: Debian, Ubuntu: apt-get install npm",
    environment,
  );
}

function olderThan(found, needed) {
  const [a, b] = [found, needed].map((version) => version.split(".").map(Number));
  for (let i = 0; i < b.length; ++i) {
    if ((a[i] ?? 0) !== b[i]) return (a[i] ?? 0) < b[i];
  }
  return false;
}
