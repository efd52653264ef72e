/** Role colours: told apart by colour-blind readers, dark text readable on each, in both schemes. */
const palette = [
  "#86b6e8",
  "#f3b562",
  "#86c9a4",
  "#dda3cd",
  "#d3cb6e",
  "#e59a86",
  "#93d3dc",
  "#b9a9e6",
] as const;
/** Roles that mean "the rest" stay grey. */
const rest = "#b4bcc6";
const restNames = new Set(["other", "bos", "rest", "none"]);

export function roleColors(roles: readonly string[]): ReadonlyMap<string, string> {
  const colors = new Map<string, string>();
  for (const role of roles) {
    if (colors.has(role)) continue;
    const named = [...colors.keys()].filter((name) => !restNames.has(name)).length;
    colors.set(role, restNames.has(role) ? rest : (palette[named % palette.length] ?? rest));
  }
  return colors;
}
