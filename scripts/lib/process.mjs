// Runs commands for the scripts: quietly into a log, or on this terminal. A command that fails
// always shows the end of its output and the place of the whole of it.
import { spawn, spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const cacheFolder = join(root, ".cache");

/** A step that cannot go on: `remedy` says what to do; the script ends with `exitCode`. */
export class StepError extends Error {
  constructor(message, remedy, exitCode = 1) {
    super(message);
    this.remedy = remedy;
    this.exitCode = exitCode;
  }
}

// `npm run` exports its whole configuration to its scripts. Only what is about reaching the registry
// may reach pnpm and cmake-js: a nodedir, prefix or cache of npm's would change what they do.
const keptNpmSettings = /registry|proxy|cafile|_ca$|strict_ssl|userconfig|globalconfig|_auth/i;

/** This process's environment, with all caches of package managers inside the checkout. */
export function toolEnvironment() {
  const env = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (/^(npm|pnpm)_/i.test(name) && !keptNpmSettings.test(name)) continue;
    if (name === "INIT_CWD" || name === "PNPM_HOME") continue;
    env[name] = value;
  }
  return {
    ...env,
    npm_config_cache: join(cacheFolder, "npm"),
    npm_config_update_notifier: "false",
    XDG_CACHE_HOME: cacheFolder,
    XDG_DATA_HOME: cacheFolder,
    XDG_STATE_HOME: cacheFolder,
  };
}

/** Trimmed standard output of a short command, or undefined where it is missing or fails. */
export function outputOf(command, args, options = {}) {
  const defaults = { encoding: "utf8", cwd: root, env: toolEnvironment() };
  const result = spawnSync(command, args, { ...defaults, ...options });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

/** The first of the commands that can be run, or undefined. */
export function firstCommand(names) {
  return names.find((name) => name && outputOf(name, ["--version"]) !== undefined);
}

/**
 * Runs a command with its output in `.cache/logs/<log>.log` and resolves to that output.
 * Rejects with StepError, after the end of the output has been printed, when it fails.
 */
export async function runLogged(log, command, args, options = {}) {
  const path = join(cacheFolder, "logs", `${log}.log`);
  mkdirSync(dirname(path), { recursive: true });
  const file = openSync(path, "w");
  const outcome = await finished(
    spawn(command, args, {
      cwd: root,
      env: toolEnvironment(),
      ...options,
      stdio: ["ignore", file, file],
    }),
  ).finally(() => closeSync(file));
  const output = readFileSync(path, "utf8");
  if (outcome.ok) return output;
  if (!options.quiet) {
    process.stderr.write(`\n${output.trimEnd().split("\n").slice(-40).join("\n")}\n\n`);
  }
  throw new StepError(
    `\`${[command === process.execPath ? "node" : command, ...args].join(" ")}\` ${outcome.why}`,
    `the whole output is in ${relative(root, path)}`,
  );
}

/** Runs a command on this terminal; resolves to its exit code. */
export async function runShown(command, args, options = {}) {
  const outcome = await finished(
    spawn(command, args, { cwd: root, env: toolEnvironment(), ...options, stdio: "inherit" }),
  );
  if (!outcome.ok) process.stderr.write(`${command} ${outcome.why}\n`);
  return outcome.code;
}

function finished(child) {
  return new Promise((resolve) => {
    child.once("error", (error) =>
      resolve({ ok: false, code: 1, why: `failed: ${error.message}` }),
    );
    child.once("exit", (code, signal) => {
      if (code === 0) resolve({ ok: true, code });
      else if (code !== null) resolve({ ok: false, code, why: `ended with exit code ${code}` });
      else {
        const number = constants.signals[signal] ?? 0;
        resolve({ ok: false, code: 128 + number, why: `was ended by ${signal}` });
      }
    });
  });
}

export const secondsSince = (start) => `${((performance.now() - start) / 1000).toFixed(1)} s`;

/** Runs a script's main function and turns a StepError into its message and exit code. */
export async function main(run) {
  try {
    process.exitCode = (await run()) ?? 0;
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    process.stderr.write(`error: ${error.message}\n`);
    if (error.remedy) process.stderr.write(`  ${error.remedy}\n`);
    process.exitCode = error.exitCode;
  }
}
