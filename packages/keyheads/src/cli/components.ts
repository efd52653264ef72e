/** Which heads and MLPs a command is about: --heads, --mlps, or --from a result with --top. */
import { readFile } from "node:fs/promises";
import type { ModelSpec } from "@keyheads/native";
import type { HeadRef } from "../attribution/component.ts";
import { effectOf } from "../attribution/effects.ts";
import { labelledClusters } from "../attribution/pairs.ts";
import { KeyheadsError } from "../errors.ts";
import type { EdgeEffect, IdentifyResult, RunResult } from "../results.ts";
import type { Item } from "../tasks/items.ts";
import { checkHeads, parseHeads, parseMlps } from "../tuning/selection.ts";
import type { Scored } from "../validation/size-curve.ts";

export interface ComponentValues {
  readonly heads: string | undefined;
  readonly mlps: string | undefined;
  readonly from: string | undefined;
  readonly top: number | undefined;
}

export interface Components {
  readonly heads: readonly HeadRef[];
  readonly mlps: readonly number[];
}

/**
 * How many clusters of the items were used to choose the heads of `--from`. With `split` there may be
 * none: throws BAD_ITEMS.
 */
export async function sharedClusters(
  from: string | undefined,
  items: readonly Item[],
  split: string | undefined,
): Promise<number> {
  if (from === undefined) return 0;
  const used = new Set((await readRanking(from)).clusters ?? []);
  const shared = labelledClusters(items).filter((cluster) => used.has(cluster));
  if (split === undefined || shared.length === 0) return shared.length;
  throw new KeyheadsError(
    "BAD_ITEMS",
    `${shared.length} clusters, such as "${shared[0]}", are in the split ${split} and among those that ` +
      `${from} was made with; make it with another --split`,
  );
}

/** Throws USAGE for heads or layers that the model does not have, and where nothing is named. */
export async function chosenComponents(
  values: ComponentValues,
  spec: ModelSpec,
): Promise<Components> {
  const { heads, mlps, from, top } = values;
  if (heads !== undefined && from !== undefined) {
    throw new KeyheadsError("USAGE", "--heads and --from exclude each other; give one of them");
  }
  if (top !== undefined && from === undefined) {
    throw new KeyheadsError("USAGE", "--top needs --from, the result whose heads are ranked");
  }
  const chosen = {
    heads: from === undefined ? named(heads, spec) : await rankedHeads(from, top, spec),
    mlps: mlps === undefined ? [] : parseMlps(mlps, spec),
  };
  if (chosen.heads.length + chosen.mlps.length > 0) return chosen;
  throw new KeyheadsError(
    "USAGE",
    from === undefined
      ? "no heads or MLPs are named; give --heads 3.1,12.22, --mlps 17,20 or --from identify.json"
      : `${from} has no key heads; give --top K to take its K most harmful heads`,
  );
}

function named(heads: string | undefined, spec: ModelSpec): HeadRef[] {
  return heads === undefined ? [] : parseHeads(heads, spec);
}

async function rankedHeads(file: string, top: number | undefined, spec: ModelSpec) {
  const { keyHeads, ranking, heads } = await readRanking(file);
  const names = top === undefined ? keyHeads : (ranking ?? byEffect(heads)).slice(0, top);
  if (top !== undefined && names.length < top) {
    throw new KeyheadsError("USAGE", `--top ${top}: ${file} ranks ${names.length} heads only`);
  }
  if (names.length === 0) return [];
  const refs = parseHeads(names.join(","));
  checkHeads(refs, spec);
  return refs;
}

/** Effects of `--from` as scores: positive helps the answer. What was not measured is left out. */
export async function scoresOf(from: string): Promise<Scored[]> {
  const { heads, mlps, effect } = await readRanking(from);
  const { harm } = effectOf(effect, true);
  const all = [
    ...heads.flatMap((row, layer) => row.map((value, head) => ({ layer, head, value }))),
    ...(mlps ?? []).map((value, layer) => ({ layer, head: -1, value })),
  ];
  // What was not measured is null in JSON.
  return all.flatMap(({ layer, head, value }) =>
    typeof value === "number" ? [{ component: { layer, head }, score: harm * value }] : [],
  );
}

export interface MeasuredEdges {
  readonly edges: readonly EdgeEffect[];
  /** Of the model. */
  readonly count: number;
  /** The sign of an effect that harms the answer. */
  readonly harm: 1 | -1;
}

/** Edges of `--from`, a result of eap or eap-ig; undefined where other methods made it. */
export async function measuredEdges(from: string): Promise<MeasuredEdges | undefined> {
  const { edges, edgeCount: count, effect } = await readRanking(from);
  if (edges === undefined || count === undefined) return undefined;
  return { edges, count, harm: effectOf(effect, true).harm };
}

/** The JSON of `identify`, or the first question of a run's results.json. */
async function readRanking(file: string): Promise<IdentifyResult> {
  let parsed: Partial<IdentifyResult> & Partial<RunResult>;
  try {
    parsed = JSON.parse(await readFile(file, "utf8")) as typeof parsed;
  } catch (cause) {
    throw new KeyheadsError("USAGE", `--from ${file}: ${(cause as Error).message}`, { cause });
  }
  const result = parsed.experiments?.[0]?.direct ?? parsed;
  if (Array.isArray(result.keyHeads) && Array.isArray(result.heads)) {
    return result as IdentifyResult;
  }
  throw new KeyheadsError(
    "USAGE",
    `--from ${file}: expected the JSON of \`keyheads identify\` or results.json of a run`,
  );
}

/** Results without a ranking: effects are patched minus reference, so the lowest harm most. */
function byEffect(heads: IdentifyResult["heads"]): string[] {
  return heads
    .flatMap((row, layer) => row.map((effect, head) => ({ name: `${layer}.${head}`, effect })))
    .filter(({ effect }) => Number.isFinite(effect) && effect !== null)
    .sort((a, b) => a.effect - b.effect)
    .map(({ name }) => name);
}
