// Arrays of layers, one after the other, and back.
import type { FloatArray } from "@keyheads/native";

/** Arrays of one type, one after the other. */
export function concatenate(arrays: readonly FloatArray[]): FloatArray {
  const length = arrays.reduce((total, array) => total + array.length, 0);
  const whole =
    arrays[0] instanceof Float64Array ? new Float64Array(length) : new Float32Array(length);
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
