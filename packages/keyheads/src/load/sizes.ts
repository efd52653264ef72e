// Numbers and flags of a config: sizes that must be there, and options that may be switched off.
import type { ArchSpec, Flag, Option, Size, SizeName } from "../archs/spec.ts";
import type { ConfigReader } from "./config-reader.ts";
import { show } from "./show.ts";

/** Of what is counted out before the weights are looked at. */
const limits: Readonly<Partial<Record<SizeName, number>>> = { layers: 10_000, dHead: 100_000 };
/** Of one MLP. */
export const mostExperts = 1000;

/** All sizes of a family, checked. */
export function readSizes(arch: ArchSpec, reader: ConfigReader): Record<SizeName, number> {
  const entries = Object.entries(arch.sizes).map(([name, size]) => {
    const value = readSize(size, reader);
    const ok = name === "normEps" ? value >= 0 : isCount(value);
    if (!ok) throw reader.error(`${name} (${show(size)}) is ${value}`);
    const most = limits[name as SizeName] ?? 2 ** 31 - 1;
    if (value > most) throw reader.error(`${name} (${show(size)}) is ${value}, more than ${most}`);
    return [name, value] as const;
  });
  const sizes = Object.fromEntries(entries) as Record<SizeName, number>;
  if (sizes.heads % sizes.kvHeads !== 0) {
    throw reader.error(
      `${sizes.heads} query heads cannot share ${sizes.kvHeads} key/value heads evenly`,
    );
  }
  return sizes;
}

export function readSize(size: Size, reader: ConfigReader): number {
  if (typeof size === "object" && "key" in size) {
    if (reader.has(size.key)) return reader.number(size.key);
    const isNull = size.null !== undefined && reader.isNull(size.key);
    return readSize(isNull ? (size.null ?? size.absent) : size.absent, reader);
  }
  if (typeof size === "number") return size;
  if (typeof size === "string") return reader.number(size);
  if ("times" in size) return size.times * reader.number(size.of);
  return reader.divide(size.of, size.dividedBy, size.down);
}

/** The option's number, or undefined where the config switches it off or does not switch it on. */
export function readOption({ key, absent }: Option, reader: ConfigReader): number | undefined {
  if (reader.has(key)) return reader.number(key);
  return reader.isNull(key) ? undefined : (absent ?? undefined);
}

export const readFlag = (value: Flag, reader: ConfigReader) =>
  typeof value === "boolean" ? value : reader.flag(value.key, value.absent);

export const isCount = (value: number) => Number.isInteger(value) && value > 0;
