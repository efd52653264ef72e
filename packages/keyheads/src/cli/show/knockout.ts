import type { KnockoutResult } from "../../results.ts";
import { percent, percentInterval, table } from "../table.ts";

/** One row a size: the chosen components beside as many random ones. */
export function knockoutText({
  items,
  ablation,
  positions,
  curve,
  random,
}: KnockoutResult): string {
  const control = curve.some((point) => point.control !== undefined);
  const rows = curve.map((point) => {
    const band = random.find(({ k }) => k === point.k);
    return [
      String(point.k),
      point.added ?? "–",
      percent(point.accuracy),
      ...(control ? [point.control === undefined ? "–" : percent(point.control)] : []),
      band ? `${percent(band.mean)} ${percentInterval([band.low, band.high])}` : "–",
      band ? `${band.draws}${band.exhaustive ? " (all)" : ""}` : "–",
    ];
  });
  return [
    `${items.used} items; ${ablation} ablation at ${positions === "end" ? "END" : "all positions"}\n\n`,
    table(
      ["k", "removed", "accuracy", ...(control ? ["control"] : []), "random heads", "draws"],
      rows,
    ),
  ].join("");
}
