// What a head looks at, by written thresholds on where END's attention goes. Attention to the start
// token is set aside first, since it is where a head looks that has nothing to do.

/** With more than this on the start token, the head is "resting". */
export const restingShare = 0.9;
/** A role, or a family of roles, with this much of the rest is what the head looks at. */
export const mainShare = 0.5;
/** Of operands against the operator: how much more one must have than the other. */
export const dominance = 2;

/**
 * `shares` of attention by role. For arithmetic roles (operand..., operator):
 *
 * - operand:  operands have at least half of the attention, and twice the operator's
 * - operator: the operator has at least half, and twice the operands'
 * - mixed:    both together have at least half
 * - other:    neither
 *
 * For other tasks: the name of the role with at least half, "mixed" if two have at least half
 * together, else "other". "end" and "other" are no roles that a head can be named after.
 */
export function headType(shares: Readonly<Record<string, number>>): string {
  const bos = shares.bos ?? 0;
  if (bos > restingShare) return "resting";
  const rest = Object.entries(shares)
    .filter(([role]) => role !== "bos")
    .map(([role, share]) => ({ role, share: share / (1 - bos) }));
  const total = (match: (role: string) => boolean) =>
    rest.reduce((sum, { role, share }) => sum + (match(role) ? share : 0), 0);

  if (rest.some(({ role }) => role === "operator")) {
    const operand = total((role) => role.startsWith("operand"));
    const operator = total((role) => role === "operator");
    if (operand >= mainShare && operand >= dominance * operator) return "operand";
    if (operator >= mainShare && operator >= dominance * operand) return "operator";
    return operand + operator >= mainShare ? "mixed" : "other";
  }
  const named = rest
    .filter(({ role }) => role !== "other" && role !== "end")
    .sort((a, b) => b.share - a.share);
  const [first, second] = named;
  if (first && first.share >= mainShare) return first.role;
  return first && second && first.share + second.share >= mainShare ? "mixed" : "other";
}
