// Writing of .safetensors files. The file appears under its name only when it is complete: it is
// written under a temporary name beside it, flushed to the disk and renamed.
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { KeyheadsError } from "../errors.ts";
import { flush } from "../save/flush.ts";
import { type Dtype, dtypeBytes } from "./safetensors.ts";

export interface TensorToWrite {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Little-endian bytes, row-major; a function gives them in pieces when their turn comes. */
  readonly data: Uint8Array | (() => AsyncIterable<Uint8Array> | Iterable<Uint8Array>);
}

/** Writes tensors in the given order. Throws WRITE_FAILED, leaving no partial file behind. */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): Promise<void> {
  const head = encodeHeader(tensors, metadata);
  const temporary = `${path}.${process.pid}.tmp`;
  let file: FileHandle | undefined;
  try {
    file = await open(temporary, "w");
    await writeAll(file, head);
    for (const tensor of tensors) await writeTensor(file, tensor);
    await flush(file);
    await file.close();
    file = undefined;
    await rename(temporary, path);
  } catch (cause) {
    await file?.close().catch(() => undefined);
    await rm(temporary, { force: true });
    if (cause instanceof KeyheadsError) throw cause;
    throw new KeyheadsError(
      "WRITE_FAILED",
      `could not write ${path}: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}

function encodeHeader(
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let at = 0;
  for (const { name, dtype, shape } of tensors) {
    if (Object.hasOwn(header, name)) {
      throw new KeyheadsError("BAD_ARGUMENT", `two tensors to write are named "${name}"`);
    }
    const end = at + byteLength(dtype, shape);
    header[name] = { dtype, shape, data_offsets: [at, end] };
    at = end;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = Buffer.alloc(8 + padded, " ");
  bytes.writeBigUInt64LE(BigInt(padded));
  json.copy(bytes, 8);
  return bytes;
}

async function writeTensor(file: FileHandle, tensor: TensorToWrite): Promise<void> {
  const pieces = tensor.data instanceof Uint8Array ? [tensor.data] : tensor.data();
  let written = 0;
  for await (const piece of pieces) {
    await writeAll(file, piece);
    written += piece.length;
  }
  const expected = byteLength(tensor.dtype, tensor.shape);
  if (written !== expected) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `tensor "${tensor.name}" was given ${written} bytes; its shape takes ${expected}`,
    );
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
  }
}

const byteLength = (dtype: Dtype, shape: readonly number[]) =>
  shape.reduce((product, n) => product * n, dtypeBytes[dtype]);
