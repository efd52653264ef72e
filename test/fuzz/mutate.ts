// Random damage to JSON values and bytes.
import type { Rng } from "../../packages/keyheads/src/statistics/rng.ts";

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const pick = <T>(random: Rng, of: readonly T[]): T => of[random.int(of.length)] as T;

/** Something that is not what was expected. */
export function strange(random: Rng): Json {
  return pick<() => Json>(random, [
    () => null,
    () => random.int(2) === 1,
    () => pick(random, [0, -0, -1, 1, 2, 3, 0.5, 7, 1e9, 2 ** 31, 2 ** 32, 2 ** 53, -1e300, 1e308]),
    () => random.int(200),
    () =>
      pick(random, ["", "0", "NaN", "gelu", "\u0000", "é".repeat(300), "a/../../b", "__proto__"]),
    () => [],
    () => ({}),
    () => nested(random.int(40)),
    () => Array.from({ length: random.int(5) }, () => random.int(100)),
  ])();
}

function nested(depth: number): Json {
  let value: Json = [];
  for (let i = 0; i < depth; ++i) value = i % 2 === 0 ? { a: value } : [value];
  return value;
}

/** A copy in which one place, found by a random walk, is changed. */
export function mutateJson(json: Json, random: Rng): Json {
  if (json === null || typeof json !== "object" || random.int(8) === 0)
    return changed(json, random);
  const keys = Object.keys(json);
  if (keys.length === 0) return strange(random);
  const key = pick(random, keys);
  if (Array.isArray(json)) {
    const copy = [...json];
    const action = random.int(6);
    if (action === 0) copy.splice(Number(key), 1);
    else if (action === 1) copy.splice(Number(key), 0, strange(random));
    else copy[Number(key)] = mutateJson(copy[Number(key)] as Json, random);
    return copy;
  }
  const copy = { ...json };
  const action = random.int(8);
  if (action === 0) delete copy[key];
  else if (action === 1) copy[pick(random, keys)] = copy[key] as Json;
  else if (action === 2) copy[`${key}${pick(random, ["x", ".weight", ""])}`] = strange(random);
  else copy[key] = mutateJson(copy[key] as Json, random);
  return copy;
}

function changed(value: Json, random: Rng): Json {
  if (typeof value === "number" && random.int(2) === 1) {
    return pick(random, [value + 1, value - 1, -value, value * 2, value / 2, value * 1e6]);
  }
  if (typeof value === "string" && random.int(2) === 1) return value.slice(0, -1);
  return strange(random);
}

/** A copy with some bytes flipped, removed, repeated, or everything after a place cut off. */
export function mutateBytes(bytes: Uint8Array, random: Rng, upTo = bytes.length): Buffer {
  const at = random.int(Math.max(1, upTo));
  const count = 1 + random.int(20);
  const buffer = Buffer.from(bytes);
  switch (random.int(4)) {
    case 0:
      for (let i = 0; i < count; ++i) buffer[random.int(Math.max(1, upTo))] = random.int(256);
      return buffer;
    case 1:
      return buffer.subarray(0, at);
    case 2:
      return Buffer.concat([buffer.subarray(0, at), buffer.subarray(at + count)]);
    default:
      return Buffer.concat([buffer.subarray(0, at + count), buffer.subarray(at)]);
  }
}
