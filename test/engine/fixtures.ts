// Small random models of every family and of other choices, and the hook points that each has.
import { existsSync, readdirSync } from "node:fs";
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
import { choiceNames, randomModel } from "./random-models.ts";

/** For tests whose matter does not differ between families. */
export const fixtureNames = ["gpt2", "llama", "llama-gqa"] as const;

const folder = fileURLToPath(new URL("../fixtures", import.meta.url));

/** Every family's models. */
export const familyNames = readdirSync(folder).filter(
  (name) => name !== "planted" && existsSync(`${folder}/${name}/config.json`),
);

/** Families that must be among them. */
export const requiredFamilies = [
  ...[
    "gemma2",
    "gpt2",
    "gpt_neox",
    "gptj",
    "llama",
    "llama-bias",
    "llama-gqa",
    "mistral",
    "mixtral",
  ],
  ...["olmo2", "opt", "phi", "phi3", "qwen2", "qwen3", "stablelm", "starcoder2"],
];

export const loadFixture = (name: string, dtype: "f32" | "f64" = "f32") =>
  choiceNames.includes(name)
    ? randomModel(name, dtype)
    : Model.load(fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url)), { dtype });

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

/** Points of whole numbers can only be read. */
export const isWritable = ({ id }: Point): boolean => hookTable[id].rows !== "choice";

export const isPattern = (id: HookId): boolean => hookTable[id].rows === "pattern";
