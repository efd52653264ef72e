// Small random models of both families, and the hook points that each has.
import { fileURLToPath } from "node:url";
import type { ModelSpec } from "@keyheads/native";
import { hookTable } from "@keyheads/native";
import {
  type HookId,
  headsOf,
  listHooks,
  parseHook,
  widthOf,
} from "../../packages/keyheads/src/hooks.ts";
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

/** Every hook point of a model. */
export function pointsOf(spec: ModelSpec): Point[] {
  return listHooks(spec).map((name) => {
    const { id, info, layer } = parseHook(name, spec);
    return { id, name, layer, heads: headsOf(info, spec), width: widthOf(info, spec) };
  });
}

export const isPattern = (id: HookId): boolean => hookTable[id].rows === "pattern";
