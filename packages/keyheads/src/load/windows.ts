// How many keys a query sees in each layer, from a family's rule and the keys that it reads.
import type { Windows } from "../archs/spec.ts";
import type { ConfigReader } from "./config-reader.ts";
import { show } from "./show.ts";
import { isCount, readFlag, readOption, readSize } from "./sizes.ts";

/** One number a layer; 0 is all keys. */
export function readWindows(
  rule: Windows | undefined,
  layers: number,
  reader: ConfigReader,
): Int32Array {
  if (rule === undefined) return new Int32Array(layers);
  const { key } = rule.size;
  const on = readFlag(rule.when ?? true, reader);
  const given = readOption(rule.size, reader);
  const size = on ? given : undefined;
  const byRule = layersOfRule(rule, layers, reader);
  const byTypes = rule.layerTypes ? layersOfTypes(layers, reader) : undefined;
  if (size === undefined) {
    const layer = byTypes?.indexOf(true) ?? -1;
    if (layer < 0) return new Int32Array(layers);
    throw reader.error(
      `layer_types gives layer ${layer} a sliding window, but ${key} ${on ? "is not set" : "is switched off"}`,
    );
  }
  if (!isCount(size)) throw reader.error(`${key} is ${size}, expected 1 or more keys`);
  return Int32Array.from(byTypes ?? byRule, (has) => (has ? size : 0));
}

function layersOfRule({ layers: rule }: Windows, layers: number, reader: ConfigReader): boolean[] {
  const from = typeof rule === "object" ? readSize(rule.from, reader) : 0;
  const every = rule === "even" ? 2 : 1;
  return Array.from({ length: layers }, (_, i) => i >= from && i % every === 0);
}

function layersOfTypes(layers: number, reader: ConfigReader): boolean[] | undefined {
  if (!reader.has("layer_types")) return undefined;
  const types = reader.value("layer_types");
  const kinds = ["full_attention", "sliding_attention"];
  if (Array.isArray(types) && types.length === layers && types.every((t) => kinds.includes(t))) {
    return types.map((type) => type === "sliding_attention");
  }
  throw reader.error(
    `layer_types is ${show(types)}, expected one of ${kinds.join(", ")} for each of ${layers} layers`,
  );
}
