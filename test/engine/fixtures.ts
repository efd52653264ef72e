// Small random models of both families, and the hook points that each has.
import { fileURLToPath } from "node:url";
import type { ModelSpec } from "@keyheads/native";
import { hookTable } from "@keyheads/native";
import { type HookId, hooks } from "../../packages/keyheads/src/hooks.ts";
import { Model } from "../../packages/keyheads/src/model.ts";

export const fixtureNames = ["gpt2", "llama", "llama-gqa"] as const;

export const loadFixture = (name: string, dtype: "f32" | "f64" = "f32") =>
  Model.load(fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url)), { dtype });

/** Deterministic token ids. */
export function ids(length: number, vocab: number, seed: number): number[] {
  return Array.from({ length }, (_, i) => (seed * 7919 + i * 104729 + 13) % vocab);
}

export interface Point {
  readonly id: HookId;
  readonly name: string;
  readonly layer: number;
  readonly heads: number;
  /** Columns of one head, or of the whole row where the point has no heads; 0 for patterns. */
  readonly width: number;
}

/** Every hook point of a model, by the table. */
export function pointsOf(spec: ModelSpec): Point[] {
  const widths = { one: 1, d_model: spec.dModel, d_head: spec.dHead, d_mlp: spec.dMlp, key: 0 };
  const exists = {
    always: true,
    sequential: true,
    learned: spec.position === "learned",
    rotary: spec.position === "rotary",
    gated: spec.gated,
  };
  const points: Point[] = [];
  for (const [key, info] of Object.entries(hookTable)) {
    const id = key as HookId;
    if (!exists[info.when]) continue;
    if (id === "attn_in" && spec.heads !== spec.kvHeads) continue;
    const heads = { none: 0, query: spec.heads, kv: spec.kvHeads }[info.heads];
    const width = widths[info.width];
    const layers = info.per === "model" ? [-1] : Array.from({ length: spec.layers }, (_, l) => l);
    for (const layer of layers) {
      points.push({ id, name: (hooks[id] as (l: number) => string)(layer), layer, heads, width });
    }
  }
  return points;
}

export const isPattern = (id: HookId): boolean => hookTable[id].rows === "pattern";
