/**
 * Numbers as a reader wants them: few digits, units, a real minus sign, and a dash for anything
 * that is not a finite number (JSON turns NaN and infinities into null).
 */
export type Maybe = number | null | undefined;

export const missing = "–";
const minus = "\u2212";
const thin = "\u202f";

export function isNumber(value: Maybe): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function fixed(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? minus + text : text;
}

/** Digits that keep a percentage informative: more towards 0 and 100. */
function percentDigits(value: number): number {
  const size = Math.abs(value);
  if (size === 0 || size === 100) return 0;
  return size < 1 || (size > 99 && size < 100) ? 2 : 1;
}

/** 0.888 as "88.8 %". */
export function percent(value: Maybe, digits?: number): string {
  if (!isNumber(value)) return missing;
  const hundred = value * 100;
  return `${fixed(hundred, digits ?? percentDigits(hundred))}${thin}%`;
}

/** A share for running text, without decimals where they say nothing: 0.503 as "50 %". */
export function share(value: Maybe): string {
  if (!isNumber(value)) return missing;
  return percent(value, Math.abs(value) < 0.0095 && value !== 0 ? 1 : 0);
}

/** The bare number of a heat map's cell. */
export function cellShare(value: Maybe, digits: number): string {
  return isNumber(value) ? fixed(value * 100, digits) : missing;
}

/** A difference of two shares as signed percentage points: 0.082 as "+8.2". */
export function points(value: Maybe): string {
  return isNumber(value) ? signed(value * 100) : missing;
}

export function signed(value: Maybe): string {
  if (!isNumber(value)) return missing;
  const text = fixed(value, Math.abs(value) < 1 && value !== 0 ? 2 : 1);
  return value > 0 && !/^[0.]+$/.test(text) ? `+${text}` : text;
}

/** Three significant digits, powers of ten where plain digits would be long. */
export function number(value: Maybe, significant = 3): string {
  if (!isNumber(value)) return missing;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e7) {
    const [mantissa = "", exponent = "0"] = size.toExponential(significant - 1).split("e");
    const power = `${mantissa.replace(/\.?0+$/, "")}e${exponent.replace("+", "")}`;
    return value < 0 ? minus + power : power;
  }
  const digits = Math.max(0, significant - 1 - Math.floor(Math.log10(size)));
  return digits === 0 ? count(value) : fixed(value, digits);
}

/** Two decimals, for what lies between 0 and 1: 0.95, 1.00. */
export function hundredths(value: Maybe): string {
  return isNumber(value) ? fixed(value, 2) : missing;
}

/** As `number`, without trailing zeros: for axes, settings and whole numbers. */
export function plain(value: Maybe, significant = 3): string {
  return number(value, significant)
    .replace(/(\.\d*?)0+$/, "$1")
    .replace(/\.$/, "");
}

/** A whole number with thousands separators. */
export function count(value: Maybe): string {
  if (!isNumber(value)) return missing;
  const text = String(Math.round(Math.abs(value))).replace(/\B(?=(\d{3})+$)/g, ",");
  return value < -0.5 ? minus + text : text;
}

/** A number that names something, such as a seed: all digits, no separators. */
export function digits(value: Maybe): string {
  return isNumber(value) ? String(value) : missing;
}

/** Parameters and the like: 796672 as "797 thousand". */
export function magnitude(value: Maybe): string {
  if (!isNumber(value)) return missing;
  const steps: readonly [number, string][] = [
    [1e9, "billion"],
    [1e6, "million"],
    [1e3, "thousand"],
  ];
  const step = steps.find(([size]) => value >= size);
  return step ? `${number(value / step[0])} ${step[1]}` : count(value);
}

export function seconds(value: Maybe): string {
  if (!isNumber(value)) return missing;
  if (value < 60) return `${number(value, value < 10 ? 2 : 3)}${thin}s`;
  const whole = Math.round(value);
  const hours = Math.floor(whole / 3600);
  const rest = Math.floor((whole % 3600) / 60);
  return hours > 0
    ? `${hours}${thin}h ${rest}${thin}min`
    : `${rest}${thin}min ${whole % 60}${thin}s`;
}

export function bytes(value: Maybe): string {
  if (!isNumber(value) || value < 0) return missing;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = value;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit++;
  }
  return `${number(size)}${thin}${units[unit] ?? "B"}`;
}

/** "from–to" in percent, low first. */
export function percentRange(low: Maybe, high: Maybe, digits?: number): string {
  if (!isNumber(low) || !isNumber(high)) return missing;
  const [a, b] = low <= high ? [low, high] : [high, low];
  const shown = digits ?? Math.max(percentDigits(a * 100), percentDigits(b * 100));
  const text = fixed(a * 100, shown);
  // "−2 to 3": a dash between signs would read as another minus.
  const dash = a < 0 ? " to " : "\u2060–\u2060";
  return `${text}${dash}${fixed(b * 100, shown)}${thin}%`;
}

/** "2025-01-02 03:04 UTC"; what is no date is shown as it is. */
export function dateTime(iso: string): string {
  const time = Date.parse(iso);
  if (!Number.isFinite(time)) return iso;
  return `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** 1 as "1st". */
export function ordinal(n: number): string {
  const tens = Math.floor((n % 100) / 10);
  const ending = tens === 1 ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th");
  return `${count(n)}${ending}`;
}

/** "a, b and c". */
export function list(parts: readonly string[]): string {
  if (parts.length < 2) return parts.join("");
  return `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}
