// What a head looks at, by written thresholds on where END's attention goes. Attention to the start
// token is set aside first, since it is where a head looks that has nothing to do.

/** With more than this on the start token, the head is "resting". */
export const restingShare = 0.9;
/** A family of roles with this much of the rest is what the head looks at. */
export const mainShare = 0.5;
/** Of operands against the operator: how much more one must have than the other. */
export const dominance = 2;

/** Roles that differ in a number or letter at the end are one family: operand1, tens_a. */
export function roleFamily(role: string): string {
  return role.replace(/(_[a-z]|_?\d+)$/, "");
}

/**
 * `shares` of attention by role. For arithmetic roles (operand..., operator):
 *
 * - operand:  operands have at least half of the attention, and twice the operator's
 * - operator: the operator has at least half, and twice the operands'
 * - mixed:    both together have at least half
 * - other:    neither
 *
 * For other tasks: the family of roles with at least half, "mixed" if two have at least half
 * together, else "other". "end" and "other" are no roles that a head can be named after.
 */
export function headType(shares: Readonly<Record<string, number>>): string {
  const bos = shares.bos ?? 0;
  if (bos > restingShare) return "resting";
  const families = new Map<string, number>();
  for (const [role, share] of Object.entries(shares)) {
    const family = roleFamily(role);
    families.set(family, (families.get(family) ?? 0) + share / (1 - bos));
  }
  const operator = families.get("operator");
  if (operator !== undefined) {
    const operand = families.get("operand") ?? 0;
    if (operand >= mainShare && operand >= dominance * operator) return "operand";
    if (operator >= mainShare && operator >= dominance * operand) return "operator";
    return operand + operator >= mainShare ? "mixed" : "other";
  }
  const [first, second] = [...families]
    .filter(([family]) => !["bos", "end", "other"].includes(family))
    .sort((a, b) => b[1] - a[1]);
  if (first && first[1] >= mainShare) return first[0];
  return first && second && first[1] + second[1] >= mainShare ? "mixed" : "other";
}
