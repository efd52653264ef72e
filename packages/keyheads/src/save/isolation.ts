// Proof that tuning changed the selected weights only: SHA-256 of the bytes of every piece of every
// weight, before and after, apart for what is selected and what is not. It proves isolation of
// weights, never of behaviour.
import { createHash, type Hash } from "node:crypto";
import type { ModelSpec, Slice } from "@keyheads/native";
import type { CheckpointFiles } from "../load/checkpoint.ts";
import type { SlotSource } from "../load/map-slots.ts";
import { readTensorBytes } from "../load/safetensors.ts";
import { slotShape } from "../load/slots.ts";
import type { Model } from "../model.ts";
import type { IsolationReport, TensorIsolation } from "../results.ts";
import { groupBy } from "../statistics/group-by.ts";
import { type Piece, piecesOf, runsOf } from "./pieces.ts";
import { readRows, storedMatrix, tensorOf } from "./stored.ts";

export interface PieceHash {
  /** Of the piece, as in "wq 2.1". */
  readonly name: string;
  /** The tensor of the file that holds it. */
  readonly tensor: string;
  readonly selected: boolean;
  readonly hash: string;
}

/** Hashes of the weights as the engine holds them. */
export async function hashWeights(
  model: Pick<Model, "readWeight" | "files" | "spec">,
  selected: readonly Slice[],
): Promise<PieceHash[]> {
  const hashes: PieceHash[] = [];
  for (const slot of model.files.slots) {
    const values = await readRows(model, slot);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    hashes.push(...hashSlot(bytes, slot, model.spec, selected));
  }
  return hashes;
}

/** Hashes of the weights as files store them, stored tensors that are no weights included. */
export async function hashFiles(
  files: CheckpointFiles,
  spec: ModelSpec,
  selected: readonly Slice[],
): Promise<PieceHash[]> {
  const hashes: PieceHash[] = [];
  for (const slot of files.slots) {
    hashes.push(...hashSlot(await storedMatrix(files, slot, spec), slot, spec, selected));
  }
  const embed = selected.some(({ slot }) => slot === "embed");
  for (const tensor of [...files.ignored, ...files.copies.keys()]) {
    const bytes = await readTensorBytes(tensorOf(files, tensor));
    const hash = createHash("sha256").update(bytes).digest("hex");
    // A copy of the tied embedding changes with it.
    hashes.push({ name: tensor, tensor, selected: embed && files.copies.has(tensor), hash });
  }
  return hashes;
}

/** A piece before and after; `name` and `tensor` as in PieceHash. */
export interface PieceChange extends Omit<PieceHash, "hash"> {
  readonly before: string;
  readonly after: string;
}

/** Hashes of the same pieces side by side, for a manifest. */
export function pairHashes(
  before: readonly PieceHash[],
  after: readonly PieceHash[],
): PieceChange[] {
  return after.map(({ hash, ...piece }, i) => ({
    ...piece,
    before: (before[i] as PieceHash).hash,
    after: hash,
  }));
}

/** What changed. Throws RangeError if the hashes are not of the same pieces. */
export function compareHashes(
  before: readonly PieceHash[],
  after: readonly PieceHash[],
): IsolationReport {
  const changed = changedPieces(before, after);
  return {
    checked: after.length,
    changedTensors: [...new Set(changed.map(({ tensor }) => tensor))],
    unselectedChanged: changed.filter(({ selected }) => !selected).length,
    unselectedHash: { before: unselectedDigest(before), after: unselectedDigest(after) },
    tensors: byTensor(before, after, changed),
  };
}

function byTensor(
  before: readonly PieceHash[],
  after: readonly PieceHash[],
  changed: readonly PieceHash[],
): TensorIsolation[] {
  const ofTensor = groupBy(before, ({ tensor }) => tensor);
  return [...groupBy(after, ({ tensor }) => tensor)].map(([tensor, pieces]) => {
    const unselected = pieces.filter(({ selected }) => !selected).length;
    const digest = (hashes: readonly PieceHash[]) =>
      unselected === 0 ? null : unselectedDigest(hashes);
    return {
      ...{ tensor, unselected },
      before: digest(ofTensor.get(tensor) as PieceHash[]),
      after: digest(pieces),
      trained: changed
        .filter((piece) => piece.tensor === tensor && piece.selected)
        .map(({ name }) => name),
    };
  });
}

/** The pieces whose hash is another one. */
export function changedPieces(
  before: readonly PieceHash[],
  after: readonly PieceHash[],
): PieceHash[] {
  if (before.length !== after.length) {
    throw new RangeError(`hashes of ${before.length} and ${after.length} pieces`);
  }
  return after.filter((piece, i) => {
    const was = before[i] as PieceHash;
    if (was.name !== piece.name || was.selected !== piece.selected) {
      throw new RangeError(`hashes of different pieces: ${was.name} and ${piece.name}`);
    }
    return was.hash !== piece.hash;
  });
}

/** One hash of everything that is not selected: equal for two runs from the same base model. */
export function unselectedDigest(hashes: readonly PieceHash[]): string {
  const digest = createHash("sha256");
  for (const { name, selected, hash } of hashes) {
    if (!selected) digest.update(`${name} ${hash}\n`);
  }
  return digest.digest("hex");
}

/** `bytes` are the slot's rows of its [out, in] matrix. A piece that is selected in part gives two hashes. */
function hashSlot(
  bytes: Uint8Array,
  slot: SlotSource,
  spec: ModelSpec,
  selected: readonly Slice[],
): PieceHash[] {
  const [, columns = 1] = slotShape(slot.slot, spec);
  const [first, last] = slot.rows;
  const width = bytes.length / ((last - first) * columns);
  return piecesOf(slot, spec).flatMap((piece) =>
    hashPiece(bytes, piece, { first, columns, width }, selected).map((hashed) => ({
      ...hashed,
      name: piece.name,
      tensor: slot.tensor,
    })),
  );
}

function hashPiece(
  bytes: Uint8Array,
  piece: Piece,
  { first, columns, width }: { first: number; columns: number; width: number },
  selected: readonly Slice[],
): { selected: boolean; hash: string }[] {
  const open = new Map<boolean, Hash>();
  for (const run of runsOf(piece, selected)) {
    const hash = open.get(run.selected) ?? createHash("sha256");
    open.set(run.selected, hash);
    const row = (run.row - first) * columns;
    hash.update(bytes.subarray((row + run.start) * width, (row + run.stop) * width));
  }
  return [...open].map(([isSelected, hash]) => ({
    selected: isSelected,
    hash: hash.digest("hex"),
  }));
}
