/** What this machine and this installation have, and what to do about what they lack. */
import { thisSystem } from "@keyheads/native";
import { version } from "../../version.ts";
import { defineCommand } from "../command.ts";
import type { Check } from "../doctor/check.ts";
import { addon, cuda, models, selfTest } from "../doctor/engine.ts";
import {
  installation,
  libc,
  memory,
  nodeVersion,
  platform,
  processors,
  settings,
} from "../doctor/machine.ts";
import { optional } from "../options.ts";
import { table } from "../table.ts";

const environmentError = 3;

export const command = defineCommand({
  name: "doctor",
  summary: "check this machine and say what to do",
  examples: ["doctor", "doctor --json"],
  options: optional,
  async run() {
    const machine = [installation(), nodeVersion(), platform(), ...libc(), processors(), memory()];
    const engine = addon();
    const loaded = engine.every(({ status }) => status !== "problem");
    const checks = [
      ...machine,
      settings(),
      ...engine,
      ...cuda(),
      ...models(),
      ...(loaded ? [await selfTest()] : []),
    ];
    const ok = checks.every(({ status }) => status !== "problem");
    return {
      data: { ok, version, system: thisSystem(), checks },
      text: () => show(checks, ok),
      exitCode: ok ? 0 : environmentError,
    };
  },
});

function show(checks: readonly Check[], ok: boolean): string {
  const rows = checks.map(({ name, status, value }) => [name, status, value]);
  const remedies = checks
    .filter(({ remedy }) => remedy !== "")
    .map(({ name, remedy }) => `${name}: ${remedy}\n`);
  const verdict = ok ? "keyheads can run here\n" : "keyheads cannot run here\n";
  return `${table(["check", "status", "found"], rows)}\n${remedies.join("")}${verdict}`;
}
