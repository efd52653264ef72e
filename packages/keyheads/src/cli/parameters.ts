/** Where a model's parameters are. Tied weights count once. */
import type { ModelSpec } from "@keyheads/native";
import type { CheckpointFiles } from "../load/checkpoint.ts";
import { countParameters, wholeSlice } from "../tuning/slots.ts";

export interface ParameterCounts {
  readonly total: number;
  readonly embedding: number;
  readonly unembedding: number;
  readonly attention: number;
  readonly mlps: number;
  readonly norms: number;
  /** Of one head: its rows of W_Q (W_K, W_V too, unless queries share them) and columns of W_O. */
  readonly perHead: number;
  readonly perMlp: number;
}

export function countByPart(files: CheckpointFiles, spec: ModelSpec): ParameterCounts {
  const counts = { embedding: 0, unembedding: 0, attention: 0, mlps: 0, norms: 0 };
  let perMlp = 0;
  for (const source of files.slots) {
    const { slot, layer } = source;
    const size = countParameters([wholeSlice(source, spec)]);
    const part = partOf(slot);
    counts[part] += size;
    if (part === "mlps" && layer === 0) perMlp += size;
  }
  const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
  return { total, ...counts, perHead: headSize(files, spec), perMlp };
}

function headSize(files: CheckpointFiles, spec: ModelSpec): number {
  const own = spec.heads === spec.kvHeads ? ["wq", "wk", "wv", "bq", "bk", "bv"] : ["wq", "bq"];
  const rows = files.slots
    .filter(({ slot, layer }) => layer === 0 && own.includes(slot))
    .reduce((sum, { slot }) => sum + spec.dHead * (slot.startsWith("w") ? spec.dModel : 1), 0);
  return rows + spec.dHead * spec.dModel;
}

function partOf(slot: string) {
  if (slot === "embed" || slot === "posEmbed") return "embedding";
  if (slot === "unembed" || slot === "unembedBias") return "unembedding";
  if (/[nN]orm/.test(slot)) return "norms";
  return /(Gate|Up|Down|router)$/.test(slot) ? "mlps" : "attention";
}
