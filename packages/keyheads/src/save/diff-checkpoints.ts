// What differs between two model folders of the same architecture: which tensors, which heads or
// MLPs in them, and by how much. Compares what the files hold, without loading a model.

import type { ModelSpec } from "@keyheads/native";
import type { CheckpointFiles } from "../load/checkpoint.ts";
import { readTensor, readTensorBytes, type TensorInfo } from "../load/safetensors.ts";
import { piecesOf } from "./pieces.ts";
import { openFolder, storedIndex } from "./stored.ts";

export interface TensorDifference {
  readonly tensor: string;
  /** Numbers that differ, of `count`. */
  readonly changed: number;
  readonly count: number;
  /** Root of the sum of squares of the difference, and of A. */
  readonly norm: number;
  readonly normA: number;
  readonly maxAbs: number;
  /** Which heads or weights: "wq 2.1", "wUp 3"; empty for a tensor that is no weight. */
  readonly pieces: readonly string[];
}
export interface CheckpointDifference {
  readonly tensors: number;
  readonly changed: readonly TensorDifference[];
  /** Tensors in only one of the two, or of different shape or dtype, with what differs. */
  readonly incomparable: readonly string[];
}

/** Compares folder A (before) with B (after). Throws BAD_CHECKPOINT where one cannot be read. */
export async function diffCheckpoints(a: string, b: string): Promise<CheckpointDifference> {
  const before = await openFolder(a);
  const after = await openFolder(b);
  const names = new Set([...before.files.tensors.keys(), ...after.files.tensors.keys()]);
  const changed: TensorDifference[] = [];
  const incomparable: string[] = [];
  for (const name of names) {
    const was = before.files.tensors.get(name);
    const is = after.files.tensors.get(name);
    if (was === undefined || is === undefined) {
      incomparable.push(`${name} is only in ${was ? a : b}`);
    } else if (kind(was) !== kind(is)) {
      incomparable.push(`${name} is ${kind(was)} in ${a} and ${kind(is)} in ${b}`);
    } else if (!(await sameBytes(was, is))) {
      changed.push(await difference(was, is, before.files, before.spec));
    }
  }
  return { tensors: names.size, changed, incomparable };
}

async function difference(
  was: TensorInfo,
  is: TensorInfo,
  files: CheckpointFiles,
  spec: ModelSpec,
): Promise<TensorDifference> {
  const a = await readTensor(was);
  const b = await readTensor(is);
  let changed = 0;
  let squares = 0;
  let squaresA = 0;
  let maxAbs = 0;
  a.forEach((value, i) => {
    const delta = (b[i] as number) - value;
    if (!Object.is(b[i], value)) ++changed;
    squares += delta * delta;
    squaresA += value * value;
    maxAbs = Math.max(maxAbs, Math.abs(delta));
  });
  return {
    tensor: was.name,
    changed,
    count: a.length,
    norm: Math.sqrt(squares),
    normA: Math.sqrt(squaresA),
    maxAbs,
    pieces: changedPieces(was.name, a, b, files, spec),
  };
}

function changedPieces(
  tensor: string,
  a: Float64Array,
  b: Float64Array,
  files: CheckpointFiles,
  spec: ModelSpec,
): string[] {
  const slots = files.slots.filter((slot) => slot.tensor === tensor);
  return slots.flatMap((slot) => {
    const changed = piecesOf(slot, spec).filter(({ rows, columns }) => {
      for (let row = rows[0]; row < rows[1]; ++row) {
        for (let column = columns[0]; column < columns[1]; ++column) {
          const at = storedIndex(slot, row, column);
          if (!Object.is(a[at], b[at])) return true;
        }
      }
      return false;
    });
    return changed.map(({ name }) => name);
  });
}

async function sameBytes(a: TensorInfo, b: TensorInfo): Promise<boolean> {
  const chunk = 1 << 24;
  for (let at = 0; at < a.bytes; at += chunk) {
    const end = Math.min(at + chunk, a.bytes);
    const [x, y] = await Promise.all([readTensorBytes(a, at, end), readTensorBytes(b, at, end)]);
    if (Buffer.compare(x, y) !== 0) return false;
  }
  return true;
}

function kind({ dtype, shape }: TensorInfo): string {
  return `${dtype} [${shape.join(", ")}]`;
}
