/**
 * Role colours: told apart by colour-blind readers, dark text readable on each, in both schemes.
 * Roles of one family, such as operand1 and operand2, share a hue; one run has one palette, so
 * that a role looks the same in its worked example and in its charts.
 */
import type { RunResult } from "./results.ts";

export type Palette = ReadonlyMap<string, string>;

const hues: readonly (readonly [full: string, light: string])[] = [
  ["#7fb1e6", "#b9d5f3"],
  ["#f1ae55", "#f8d7a8"],
  ["#7cc39b", "#b7dfc9"],
  ["#d893c5", "#edc8e2"],
  ["#cfc65f", "#e6e2ab"],
  ["#e3917b", "#f2c6ba"],
  ["#86cdd8", "#c0e6eb"],
  ["#b0a0e2", "#d6cef1"],
];
/** Roles that mean "the rest" stay grey. */
const rest: readonly [string, string] = ["#b4bcc6", "#d5dae0"];
const restNames = new Set(["other", "bos", "rest", "none"]);

/** A role as a reader should see it. */
export function roleTitle(role: string): string {
  return role.replace(/_+/g, " ").trim() || role;
}

/** "carry_source_b" and "carry source" are one family, as are "operand1" and "operand2". */
function family(role: string): string {
  return (
    roleTitle(role)
      .toLowerCase()
      .replace(/(?:\s+[a-z]|\s*\d+)$/, "")
      .trim() || role
  );
}

/** A colour for every role of the run, in the order in which the run names them. */
export function rolePalette(run: RunResult): Palette {
  const roles = [
    ...(run.example?.tokens ?? []).flatMap((t) => (t.role === undefined ? [] : [t.role])),
    ...run.experiments
      .flatMap((e) => e.attention?.heads ?? [])
      .flatMap((h) => Object.keys(h.roles)),
  ];
  const families = new Map<string, Set<string>>();
  for (const role of roles) {
    const members = families.get(family(role)) ?? new Set();
    families.set(family(role), members.add(role));
  }
  const colors = new Map<string, string>();
  let used = 0;
  for (const [name, members] of families) {
    const pair = restNames.has(name) ? rest : (hues[used++ % hues.length] ?? rest);
    // The family's own name is no second member of it.
    const named = [...members].filter((role) => roleTitle(role).toLowerCase() !== name);
    for (const role of members)
      colors.set(role, pair[Math.max(0, named.indexOf(role)) % 2] ?? pair[0]);
  }
  return colors;
}

/** The part of a palette that a chart needs, in the chart's order. */
export function pick(palette: Palette, roles: readonly string[]): Palette {
  return new Map(roles.map((role) => [role, palette.get(role) ?? rest[0]]));
}
