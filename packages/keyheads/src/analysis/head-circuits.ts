// What a head's weights read and write (Elhage et al. 2021), on the task's own prompts. QK: which
// roles END's query points at, before softmax. OV: what would be written if all attention went to a
// role: does it raise the token that stands there (copying), does it raise the answer?
import { performance } from "node:perf_hooks";
import type { FloatArray } from "@keyheads/native";
import {
  allHeads,
  checkComponents,
  componentName,
  type HeadRef,
} from "../attribution/component.ts";
import { clusterOf, droppedOf, itemsOf } from "../attribution/pairs.ts";
import { KeyheadsError } from "../errors.ts";
import { hooks } from "../hooks.ts";
import type { CallOptions, Model } from "../model.ts";
import type { HeadCircuitsResult, HeadRole, RoleShare } from "../results.ts";
import { clusterDraws, numberClusters, ratioOfMeans } from "../statistics/bootstrap.ts";
import type { Item, ItemSet } from "../tasks/items.ts";
import { readDirect } from "./direct-logit.ts";
import { before, dot, readPostNorms, sum } from "./end-direction.ts";
import { headNorms, outputColumns } from "./head-weights.ts";
import { rolesOfItem } from "./token-roles.ts";
import { readUnembedding } from "./unembedding.ts";

export interface HeadCircuitsOptions extends CallOptions {
  /** Default: every head. */
  readonly heads?: readonly HeadRef[];
  readonly draws?: number;
  readonly seed?: number;
  /** Items per native call; 64. */
  readonly batch?: number;
}

/** Of one head and role, an entry an item; NaN where the item lacks the role. */
interface RoleValues {
  readonly score: Float64Array;
  readonly copies: Float64Array;
  readonly rank: Float64Array;
  readonly toAnswer: Float64Array;
}

/**
 * QK and OV summaries. Roles of several tokens count as their mean; ranks are among the distinct
 * tokens at all roles of the set. Throws BAD_ITEMS if no item names a role.
 */
export async function headCircuits(
  model: Model,
  items: ItemSet | readonly Item[],
  options: HeadCircuitsOptions = {},
): Promise<HeadCircuitsResult> {
  const started = performance.now();
  const list = itemsOf(items);
  const { heads = allHeads(model.spec), batch = 64 } = options;
  checkComponents(heads, model.spec);
  const { dHead } = model.spec;
  const call: CallOptions = options.signal ? { signal: options.signal } : {};
  const bosId = model.tokenizer?.encode("")[0];
  const roles = list.map((item) =>
    rolesOfItem(item, bosId).filter(({ role }) => role !== "bos" && role in item.roles),
  );
  const names = [...new Set(roles.flatMap((some) => some.map(({ role }) => role)))];
  if (names.length === 0) {
    throw new KeyheadsError("BAD_ITEMS", "no item names a role; roles say where operands stand");
  }
  const tokens = tokensAtRoles(list, roles);
  const unembedding = await readUnembedding(model, call);
  const direct = await readDirect(model, call);
  const rows = tokens.map((token) => direct.direction(unembedding.row(token), 1));
  const norms = await readPostNorms(model, "attnPostNorm", call);

  const empty = () => new Float64Array(list.length).fill(Number.NaN);
  const values = heads.map(
    () =>
      new Map(
        names.map((name): [string, RoleValues] => [
          name,
          { score: empty(), copies: empty(), rank: empty(), toAnswer: empty() },
        ]),
      ),
  );
  const layers = [...new Set(heads.map(({ layer }) => layer))].sort((a, b) => a - b);
  const size = new Map<string, { ov: number; qk: number }>();
  for (const [done, layer] of layers.entries()) {
    const wo = await model.readWeight({ slot: "wo", layer }, call);
    const gain = norms[layer];
    // A token's direction in each head's own value space, [dHead].
    const reads = new Map(
      heads
        .filter((ref) => ref.layer === layer)
        .map(({ head }) => [
          head,
          rows.map((row) => outputColumns(wo, before(gain, row, gain && 1), head, dHead)),
        ]),
    );
    for (let start = 0; start < list.length; start += batch) {
      const chunk = list.slice(start, start + batch);
      const run = await captureHeads(model, chunk, layer, call);
      for (const [h, { layer: own, head }] of heads.entries()) {
        if (own !== layer) continue;
        const directions = reads.get(head) as Float64Array[];
        for (const [i, item] of chunk.entries()) {
          const at = start + i;
          const scores = run.scores(i, head);
          const first = bosId !== undefined && item.reference[0] === bosId ? 1 : 0;
          const others = scores.subarray(first);
          const middle = sum(others) / others.length;
          const answer = tokens.indexOf(item.answerId);
          for (const { role, positions } of roles[at] ?? []) {
            const into = values[h]?.get(role) as RoleValues;
            const mean = (of: (position: number) => number) =>
              positions.reduce((total, p) => total + of(p), 0) / positions.length;
            const logits = (p: number) => {
              const value = run.value(i, p, head);
              return directions.map((read) => dot(read, value));
            };
            const rank = (p: number) => {
              const all = logits(p);
              const mine = all[tokens.indexOf(item.reference[p] as number)] as number;
              return 1 + all.filter((logit) => logit > mine).length;
            };
            into.score[at] = mean((p) => scores[p] as number) - middle;
            into.rank[at] = mean(rank);
            into.copies[at] = mean((p) => (rank(p) === 1 ? 1 : 0));
            into.toAnswer[at] = mean((p) => {
              const read = directions[answer] as Float64Array;
              return dot(read, run.value(i, p, head)) / run.through(i);
            });
          }
        }
      }
    }
    const weights = await headNorms(model, layer, wo, call);
    for (const { layer: own, head } of heads) {
      if (own === layer) size.set(`${layer}.${head}`, weights(head));
    }
    options.onProgress?.(done + 1, layers.length);
  }
  const clusters = numberClusters(list.map(clusterOf));
  const draws = clusterDraws(clusters.count, options);
  const ones = new Float64Array(list.length).fill(1);
  const estimate = (some: Float64Array): RoleShare => {
    const { estimate: mean, low, high } = ratioOfMeans(some, ones, clusters, draws);
    return { mean, low, high };
  };
  return {
    items: { used: list.length, dropped: droppedOf(items) },
    tokens: tokens.length,
    heads: heads.map((head, h) => {
      const { ov, qk } = size.get(componentName(head)) as { ov: number; qk: number };
      const summary = [...(values[h] as Map<string, RoleValues>)].map(
        ([role, { score, copies, rank, toAnswer }]): [string, HeadRole] => [
          role,
          {
            score: estimate(score),
            copies: estimate(copies),
            copyRank: estimate(rank).mean,
            toAnswer: estimate(toAnswer),
          },
        ],
      );
      return {
        ...{ head: componentName(head), ovNorm: ov, qkNorm: qk },
        roles: Object.fromEntries(summary),
      };
    }),
    seconds: (performance.now() - started) / 1000,
  };
}

/** Distinct tokens at roles, and the answers, in order of appearance. */
function tokensAtRoles(
  items: readonly Item[],
  roles: readonly (readonly { positions: readonly number[] }[])[],
): number[] {
  const tokens = new Set<number>();
  items.forEach((item, i) => {
    for (const { positions } of roles[i] ?? []) {
      for (const p of positions) tokens.add(item.reference[p] as number);
    }
    tokens.add(item.answerId);
  });
  return [...tokens];
}

async function captureHeads(
  model: Model,
  chunk: readonly Item[],
  layer: number,
  call: CallOptions,
) {
  const { heads, kvHeads, dHead, normPlacement } = model.spec;
  const { captures, offsets } = await model.forward({
    sequences: chunk.map((item) => item.reference),
    captures: [
      { hook: hooks.attn_scores(layer), positions: "end" },
      { hook: hooks.v(layer) },
      { hook: hooks.ln_final_scale(), positions: "end" },
      ...(normPlacement === "pre"
        ? []
        : [{ hook: hooks.ln1_post_scale(layer), positions: "end" as const }]),
    ],
    ...call,
  });
  const [scores, values, scale, post] = captures as [
    FloatArray,
    FloatArray,
    FloatArray,
    FloatArray?,
  ];
  const offset = (i: number) => offsets[i] as number;
  const group = heads / kvHeads;
  return {
    /** Of END to every position. */
    scores: (i: number, head: number): FloatArray => {
      const length = offset(i + 1) - offset(i);
      const from = heads * offset(i) + head * length;
      return scores.subarray(from, from + length);
    },
    value: (i: number, p: number, head: number): FloatArray => {
      const from = ((offset(i) + p) * kvHeads + Math.floor(head / group)) * dHead;
      return values.subarray(from, from + dHead);
    },
    /** What the final norm, and one after attention, divide by. */
    through: (i: number) => (scale[i] as number) * (post?.[i] ?? 1),
  };
}
