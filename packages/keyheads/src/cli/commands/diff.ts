/** What differs between two folders, without loading a model: tensors, heads and MLPs in them, norms. */
import { resolveModel } from "../../load/resolve-model.ts";
import { type CheckpointDifference, diffCheckpoints } from "../../save/diff-checkpoints.ts";
import { defineCommand } from "../command.ts";
import { force, optional, outFile } from "../options.ts";
import { count, decimal, table } from "../table.ts";

/** Pieces of a tensor that are named in the table; JSON has all. */
const shownPieces = 6;

export const command = defineCommand({
  name: "diff",
  summary: "what differs between two model folders: tensors, heads, norms",
  argument: { usage: "<before>", help: "Hugging Face folder or bundled model" },
  second: { usage: "<after>", help: "another of the same architecture" },
  examples: ["diff ./my-model ./tuned"],
  outFile: true,
  options: { ...optional, out: outFile, force },
  async run({ target, second }) {
    const [a, b] = [await resolveModel(target), await resolveModel(second)];
    const result = await diffCheckpoints(a, b);
    return { data: { before: target, after: second, ...result }, text: () => diffText(result) };
  },
});

function diffText({ tensors, changed, incomparable }: CheckpointDifference): string {
  const rows = changed.map((one) => [
    one.tensor,
    `${count(one.changed)} of ${count(one.count)}`,
    decimal(one.norm),
    decimal(one.normA),
    decimal(one.maxAbs),
    shorten(one.pieces),
  ]);
  const head = ["tensor", "numbers", "norm of change", "norm before", "largest", "slices"];
  return [
    rows.length > 0 ? `${table(head, rows)}\n` : "",
    ...incomparable.map((line) => `${line}\n`),
    `${changed.length} of ${tensors} tensors differ\n`,
  ].join("");
}

function shorten(pieces: readonly string[]): string {
  const more = pieces.length - shownPieces;
  return pieces.slice(0, shownPieces).join(", ") + (more > 0 ? `, ${more} more` : "");
}
