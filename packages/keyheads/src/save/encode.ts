// Numbers to the dtypes that checkpoints store, rounded to the nearest, ties to even.
import type { TensorSource } from "@keyheads/native";
import { KeyheadsError } from "../errors.ts";

/** Writes one number, little-endian, at a byte position. Throws NON_FINITE where it does not fit. */
export type Encoder = (view: DataView, at: number, value: number) => void;

export const encoders: Readonly<Record<TensorSource["dtype"], Encoder>> = {
  F64: (view, at, value) => view.setFloat64(at, finite(value, value, "F64"), true),
  F32: (view, at, value) => view.setFloat32(at, finite(value, Math.fround(value), "F32"), true),
  BF16: (view, at, value) => {
    const bits = bfloatBits(value);
    finite(value, (bits & 0x7f80) === 0x7f80 ? Number.POSITIVE_INFINITY : 0, "BF16");
    view.setUint16(at, bits, true);
  },
  F16: (view, at, value) => {
    const bits = halfBits(value);
    finite(value, (bits & 0x7c00) === 0x7c00 ? Number.POSITIVE_INFINITY : 0, "F16");
    view.setUint16(at, bits, true);
  },
};

function finite(value: number, stored: number, dtype: string): number {
  if (Number.isFinite(value) && Number.isFinite(stored)) return stored;
  throw new KeyheadsError("NON_FINITE", `a weight of ${value} cannot be stored as ${dtype}`);
}

const scratch = new DataView(new ArrayBuffer(8));

/** bfloat16 is the upper half of a float. Rounding a double through a float first rounds twice. */
export function bfloatBits(value: number): number {
  return roundBits(value, 7, -126);
}

/** IEEE 754 binary16. */
export function halfBits(value: number): number {
  return roundBits(value, 10, -14);
}

/** Rounds a double to a 16-bit float with `fraction` bits, whose smallest exponent is `least`. */
function roundBits(value: number, fraction: number, least: number): number {
  scratch.setFloat64(0, value);
  const sign = scratch.getUint8(0) & 0x80 ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  const exponentMask = ((1 << (15 - fraction)) - 1) << fraction;
  if (Number.isNaN(value)) return exponentMask | (1 << (fraction - 1));
  const exponent = Math.max(least, magnitude === 0 ? least : exponentOf(magnitude));
  // In units of the last place; exact, because scaling by a power of two is. At and above
  // 2^fraction the number is normal and the implicit bit adds to the exponent field by itself.
  const units = roundHalfEven(magnitude * 2 ** (fraction - exponent));
  const bits = (exponent - least) * 2 ** fraction + units;
  return sign | Math.min(bits, exponentMask);
}

/** The exponent of the leading bit of a positive double; subnormal ones count as -1023. */
function exponentOf(magnitude: number): number {
  scratch.setFloat64(0, magnitude);
  return ((scratch.getUint16(0) >> 4) & 0x7ff) - 1023;
}

function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest > 0.5 || (rest === 0.5 && below % 2 === 1)) return below + 1;
  return below;
}
