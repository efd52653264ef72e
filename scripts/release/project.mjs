// An empty project of a user on a machine with Node, a package manager and nothing else.
import { spawn } from "node:child_process";
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { cacheFolder, outputOf, root, runLogged, StepError } from "../lib/process.mjs";
import { writeJson } from "./manifests.mjs";

const pnpm = "pnpm@12.21.0";
const yarn = "@yarnpkg/cli-dist@4.18.1";
const tools = join(cacheFolder, "release-tools");

/** Puts pnpm and yarn, of these versions, into .cache; the only step that uses the network. */
export async function fetchManagers() {
  const wanted = [pnpm, yarn].join(" ");
  const stamp = join(tools, "versions");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  mkdirSync(tools, { recursive: true });
  writeJson(join(tools, "package.json"), { private: true });
  await runLogged("release-tools", "npm", [
    ...["install", "--prefix", tools, "--ignore-scripts", "--no-audit", "--no-fund", pnpm, yarn],
  ]);
  writeFileSync(stamp, wanted);
}

/** How each package manager installs what is in package.json, without scripts. */
export const managers = {
  npm: { install: ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"] },
  pnpm: { install: ["pnpm", "install", "--ignore-scripts", "--no-frozen-lockfile"] },
  // Its default: packages stay archives, unless they must be unpacked.
  yarn: { install: ["yarn", "install", "--no-immutable"], node: ["yarn", "node"] },
};

export class Project {
  /** @param dependencies of its package.json */
  constructor(folder, { registry, dependencies }) {
    this.folder = folder;
    this.registry = registry;
    this.added = {};
    this.bin = join(folder, "..", "bin");
    mkdirSync(join(folder, "..", "home"), { recursive: true });
    mkdirSync(folder, { recursive: true });
    writeJson(join(folder, "package.json"), { name: "user", private: true, dependencies });
    writeFileSync(
      join(folder, ".yarnrc.yml"),
      `npmRegistryServer: "${registry}"\nunsafeHttpWhitelist: ["127.0.0.1"]\nenableScripts: false\nenableTelemetry: false\nenableGlobalCache: false\n`,
    );
    writeFileSync(join(folder, ".npmrc"), `registry=${registry}\n`);
    writeFileSync(join(folder, "yarn.lock"), ""); // a project of its own, whatever is above it
    linkPrograms(this.bin);
    for (const name of [
      "consumer.ts",
      "esm.mjs",
      "require.cjs",
      "worker.mjs",
      "two-versions.mjs",
    ]) {
      cpSync(join(root, "test/release", name), join(folder, name));
    }
  }

  /** A command of this project for a program elsewhere, maybe with an emulator before it. */
  use(command, env) {
    this.added = env;
    const quoted = command.map((part) => `'${part}'`).join(" ");
    writeFileSync(join(this.bin, "runtime"), `#!/bin/sh\nexec ${quoted} "$@"\n`, { mode: 0o755 });
    return ["runtime"];
  }

  /** Nothing of this process's environment: no compiler is found, no other address answers. */
  environment() {
    const nowhere = "http://127.0.0.1:9";
    return {
      PATH: this.bin,
      HOME: join(this.folder, "..", "home"),
      CI: "true",
      KEYHEADS_PIN: process.env.KEYHEADS_PIN ?? "",
      npm_config_registry: this.registry,
      npm_config_update_notifier: "false",
      http_proxy: nowhere,
      https_proxy: nowhere,
      no_proxy: "127.0.0.1",
    };
  }

  /** Resolves to { code, output, seconds }. */
  async run([command, ...args], { env = {} } = {}) {
    const start = performance.now();
    const files = ["output", "errors"].map((name) => join(this.folder, "..", name));
    // Files, not pipes: Node for Windows cannot write to a pipe under wine.
    const open = files.map((file) => openSync(file, "w"));
    const child = spawn(join(this.bin, command), args, {
      cwd: this.folder,
      env: { ...this.environment(), ...this.added, ...env },
      stdio: ["ignore", ...open],
    });
    const code = await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    }).finally(() => open.forEach(closeSync));
    const [output, errors] = files.map((file) => readFileSync(file, "utf8"));
    return { code, output, errors, seconds: (performance.now() - start) / 1000 };
  }

  /** The same, but must end with 0. */
  async must(command, options) {
    const result = await this.run(command, options);
    if (result.code === 0) return result;
    throw new StepError(
      `\`${command.join(" ")}\` ended with ${result.code} in ${this.folder}\n${result.output}${result.errors}`,
    );
  }
}

/** A folder with Node, the package managers and a shell: no compiler, make or Python. */
function linkPrograms(bin) {
  if (existsSync(bin)) return;
  mkdirSync(bin, { recursive: true });
  const npm = join(dirname(outputOf("sh", ["-c", "readlink -f $(command -v npm)"])), "");
  symlinkSync(process.execPath, join(bin, "node"));
  symlinkSync("/bin/sh", join(bin, "sh"));
  symlinkSync(join(npm, "npm-cli.js"), join(bin, "npm"));
  symlinkSync(join(npm, "npx-cli.js"), join(bin, "npx"));
  for (const name of ["pnpm", "yarn"]) {
    symlinkSync(join(tools, "node_modules", ".bin", name), join(bin, name));
  }
}
