// Arrays of layers, one after the other, and back; arrays of heads, side by side in every row, and back.
import type { FloatArray } from "@keyheads/native";

/** Zeros, of the type of another array. */
export const zerosLike = (like: FloatArray | undefined, length: number): FloatArray =>
  like instanceof Float64Array ? new Float64Array(length) : new Float32Array(length);

/** Arrays of one type, one after the other. */
export function concatenate(arrays: readonly FloatArray[]): FloatArray {
  const length = arrays.reduce((total, array) => total + array.length, 0);
  const whole = zerosLike(arrays[0], length);
  let at = 0;
  for (const array of arrays) {
    whole.set(array, at);
    at += array.length;
  }
  return whole;
}

/** Part `index` of `count` equal parts; a view. */
export function part(values: FloatArray, index: number, count: number): FloatArray {
  const size = values.length / count;
  return values.subarray(index * size, (index + 1) * size);
}

/** [rows, count, width] as `count` arrays of [rows, width]. */
export function splitHeads(values: FloatArray, count: number, width: number): FloatArray[] {
  const rows = values.length / (count * width);
  return Array.from({ length: count }, (_, i) => {
    const one = values.slice(0, rows * width);
    for (let row = 0; row < rows; ++row) {
      const from = (row * count + i) * width;
      one.set(values.subarray(from, from + width), row * width);
    }
    return one;
  });
}

/** The inverse of `splitHeads`. */
export function joinHeads(heads: readonly FloatArray[], width: number): FloatArray {
  const whole = concatenate(heads);
  const rows = (heads[0] as FloatArray).length / width;
  heads.forEach((one, i) => {
    for (let row = 0; row < rows; ++row) {
      whole.set(one.subarray(row * width, (row + 1) * width), (row * heads.length + i) * width);
    }
  });
  return whole;
}
