// Reading and writing of .safetensors files (https://github.com/huggingface/safetensors): 8 bytes
// of header length, a JSON header, the tensors' bytes. Only the header is read when a file is
// opened; every number in it is checked before anything trusts it.
import { type FileHandle, open, stat } from "node:fs/promises";
import { KeyheadsError } from "../errors.ts";
import { show } from "./show.ts";

export const dtypeBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const;
export type Dtype = keyof typeof dtypeBytes;

export interface TensorInfo {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Path of the file that holds it. */
  readonly file: string;
  /** Position of its first byte in the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface SafetensorsFile {
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their bytes. */
  readonly tensors: readonly TensorInfo[];
}

const maxHeader = 100_000_000;

/** Reads and checks the header. Throws BAD_CHECKPOINT naming the file, the tensor and the fault. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await open(path, "r").catch((cause: NodeJS.ErrnoException) => {
    throw new KeyheadsError("BAD_CHECKPOINT", `cannot open ${path}: ${cause.message}`, { cause });
  });
  try {
    const stats = await file.stat();
    if (!stats.isFile())
      throw bad(path, "is not a file; put the safetensors file there, or name the right one");
    const { size } = stats;
    const length = await headerLength(file, path, size);
    const header = parseHeader(path, await readText(file, path, 8, length));
    return { path, metadata: header.metadata, tensors: layOut(path, header, 8 + length, size) };
  } finally {
    await file.close();
  }
}

async function headerLength(file: FileHandle, path: string, size: number): Promise<number> {
  if (size < 8)
    throw bad(path, `has ${size} bytes; a safetensors file starts with 8 bytes of length`);
  const start = Buffer.alloc(8);
  await file.read(start, 0, 8, 0);
  const length = start.readBigUInt64LE();
  if (length > BigInt(Math.min(maxHeader, size - 8))) {
    throw bad(
      path,
      `says that its header has ${length} bytes, but the file has ${size}: truncated, or not safetensors`,
    );
  }
  return Number(length);
}

async function readText(file: FileHandle, path: string, at: number, length: number) {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, at);
  if (bytesRead !== length) throw bad(path, `ended after ${bytesRead} of ${length} header bytes`);
  return buffer.toString("utf8");
}

interface Header {
  readonly metadata: Record<string, string>;
  readonly entries: readonly [name: string, entry: Record<string, unknown>][];
}

function parseHeader(path: string, text: string): Header {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw bad(path, `has a header that is not JSON (${(cause as Error).message})`);
  }
  if (!isObject(parsed)) throw bad(path, "has a header that is not a JSON object");
  const repeated = repeatedKey(text);
  if (repeated !== undefined) throw bad(path, `lists the tensor "${repeated}" twice`);
  const { __metadata__: metadata = {}, ...rest } = parsed;
  const entries = Object.entries(rest).map(([name, entry]): [string, Record<string, unknown>] => {
    if (!isObject(entry)) throw bad(path, `describes tensor "${name}" by ${show(entry)}`);
    return [name, entry];
  });
  return { metadata: metadata as Record<string, string>, entries };
}

/** JSON.parse keeps the last of two equal keys silently; this finds such a key at the top level. */
function repeatedKey(text: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  let key: string | undefined;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:]/gs)) {
    if (token === "{" || token === "[") ++depth;
    else if (token === "}" || token === "]") --depth;
    else if (token !== ":") key = token;
    else if (depth === 1 && key !== undefined) {
      const name = JSON.parse(key) as string;
      if (seen.has(name)) return name;
      seen.add(name);
    }
  }
  return undefined;
}

function layOut(path: string, header: Header, start: number, size: number): TensorInfo[] {
  const tensors = header.entries.map(([name, entry]) => tensorInfo(path, name, entry, start));
  tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let at = start;
  for (const tensor of tensors) {
    if (tensor.offset !== at) {
      const fault =
        tensor.offset < at ? "overlaps the tensor before it" : "leaves a hole before it";
      throw bad(
        path,
        `tensor "${tensor.name}" ${fault}: starts at byte ${tensor.offset}, expected ${at}`,
      );
    }
    at += tensor.bytes;
    if (at > size) {
      throw bad(
        path,
        `is truncated: tensor "${tensor.name}" ends at byte ${at}, the file has ${size}`,
      );
    }
  }
  if (at !== size) throw bad(path, `has ${size - at} bytes after its last tensor`);
  return tensors;
}

function tensorInfo(
  path: string,
  name: string,
  entry: Record<string, unknown>,
  start: number,
): TensorInfo {
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string" || !Object.hasOwn(dtypeBytes, dtype)) {
    const known = Object.keys(dtypeBytes).join(", ");
    throw bad(path, `tensor "${name}" has dtype ${show(dtype)}; known: ${known}`);
  }
  if (!isCounts(shape)) throw bad(path, `tensor "${name}" has shape ${show(shape)}`);
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw bad(path, `tensor "${name}" has data_offsets ${show(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  const bytes = shape.reduce((product, n) => product * n, dtypeBytes[dtype as Dtype]);
  if (end - begin !== bytes) {
    throw bad(
      path,
      `tensor "${name}" takes ${end - begin} bytes; ${dtype} of shape [${shape.join(", ")}] takes ${bytes}`,
    );
  }
  return { name, dtype: dtype as Dtype, shape, file: path, offset: start + begin, bytes };
}

/** The stored bytes of a tensor, from byte `from` to byte `to` of it. */
export async function readTensorBytes(
  tensor: TensorInfo,
  from = 0,
  to = tensor.bytes,
): Promise<Uint8Array> {
  const file = await open(tensor.file, "r");
  try {
    const bytes = new Uint8Array(to - from);
    let done = 0;
    while (done < bytes.length) {
      const { bytesRead } = await file.read(
        bytes,
        done,
        bytes.length - done,
        tensor.offset + from + done,
      );
      if (bytesRead === 0) throw bad(tensor.file, `ended inside tensor "${tensor.name}"`);
      done += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

/** A tensor's numbers, exactly, as doubles (I64 and U64 beyond 2^53 are errors). */
export async function readTensor(tensor: TensorInfo): Promise<Float64Array> {
  const bytes = await readTensorBytes(tensor);
  const view = new DataView(bytes.buffer);
  const width = dtypeBytes[tensor.dtype];
  const read = readers[tensor.dtype];
  const values = new Float64Array(bytes.length / width);
  for (let i = 0; i < values.length; ++i) {
    const value = read(view, i * width);
    if (typeof value === "bigint") {
      if (!Number.isSafeInteger(Number(value))) {
        throw bad(tensor.file, `tensor "${tensor.name}" holds ${value}, beyond 2^53`);
      }
      values[i] = Number(value);
    } else values[i] = value;
  }
  return values;
}

const readers: Record<Dtype, (view: DataView, at: number) => number | bigint> = {
  F64: (view, at) => view.getFloat64(at, true),
  F32: (view, at) => view.getFloat32(at, true),
  F16: (view, at) => halfToNumber(view.getUint16(at, true)),
  BF16: (view, at) => bfloatToNumber(view.getUint16(at, true)),
  I64: (view, at) => view.getBigInt64(at, true),
  I32: (view, at) => view.getInt32(at, true),
  I16: (view, at) => view.getInt16(at, true),
  I8: (view, at) => view.getInt8(at),
  U64: (view, at) => view.getBigUint64(at, true),
  U32: (view, at) => view.getUint32(at, true),
  U16: (view, at) => view.getUint16(at, true),
  U8: (view, at) => view.getUint8(at),
  BOOL: (view, at) => view.getUint8(at),
};

const scratch = new DataView(new ArrayBuffer(4));
function bfloatToNumber(bits: number): number {
  scratch.setUint32(0, bits * 65536);
  return scratch.getFloat32(0);
}

/** IEEE 754 binary16. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

export async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isCounts = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);

const bad = (path: string, what: string) => new KeyheadsError("BAD_CHECKPOINT", `${path}: ${what}`);
