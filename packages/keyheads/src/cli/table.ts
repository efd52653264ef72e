/** Plain text tables and the few ways in which numbers are written. */
import type { Interval } from "../results.ts";

/** Columns are as wide as their widest cell; text stands left, numbers right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
  const numeric = header.map((_, i) => rows.every((row) => /^[-+−\d(]|^$|^–$/.test(row[i] ?? "")));
  const line = (row: readonly string[]) =>
    widths
      .map((width, i) => {
        const cell = row[i] ?? "";
        return numeric[i] ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  return [line(header), widths.map((width) => "-".repeat(width)).join("  "), ...rows.map(line)]
    .map((text) => `${text}\n`)
    .join("");
}

/** Lines of `name  value`. */
export function fields(pairs: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join("");
}

/** 12.3 % */
export function percent(share: number, digits = 1): string {
  return Number.isFinite(share) ? `${decimal(100 * share, digits)} %` : "–";
}

export function percentInterval([low, high]: Interval, digits = 1): string {
  return interval([100 * low, 100 * high], digits);
}

export function decimal(x: number, digits = 3): string {
  if (!Number.isFinite(x)) return "–";
  const text = x.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text;
}

export function interval([low, high]: Interval, digits = 3): string {
  return `(${decimal(low, digits)} to ${decimal(high, digits)})`;
}

/** 1,234,567 */
export function count(n: number): string {
  return n.toLocaleString("en-US");
}

/** 1.5 GiB */
export function byteSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = bytes;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}

/** 850 ms, 12.3 s, 4 min 5 s */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(1000 * seconds)} ms`;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}
