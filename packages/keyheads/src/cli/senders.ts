/** What --senders names: heads and MLPs, and single neurons or embeddings. */
import type { SenderKind } from "../attribution/options.ts";
import { allEmbeddings, neuronsOf, type Unit } from "../attribution/paths/unit.ts";
import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { Item } from "../tasks/items.ts";

export interface Senders {
  readonly kinds: readonly SenderKind[];
  readonly embeds: boolean;
  /** Layers whose neurons are asked for. */
  readonly neurons: readonly number[];
}

/** Throws USAGE for anything but heads, mlps, embeds and neurons:LAYER. */
export function parseSenders(given = "heads,mlps"): Senders {
  const parts = given.split(",").map((part) => part.trim());
  const neurons: number[] = [];
  for (const part of parts) {
    const layer = /^neurons:(\d+)$/.exec(part)?.[1];
    if (layer !== undefined) neurons.push(Number(layer));
    else if (!["heads", "mlps", "embeds"].includes(part)) {
      throw new KeyheadsError(
        "USAGE",
        `--senders: expected heads, mlps, embeds or neurons:3 (of a layer), but got "${part}"`,
      );
    }
  }
  const kinds = (["heads", "mlps"] as const).filter((kind) => parts.includes(kind));
  return { kinds, embeds: parts.includes("embeds"), neurons };
}

/** Throws USAGE for neurons of a layer that the model does not have. */
export function unitsOf(senders: Senders, model: Model, items: readonly Item[]): Unit[] {
  const { layers, experts } = model.spec;
  const wrong = senders.neurons.find((layer) => layer >= layers || experts > 0);
  if (wrong !== undefined) {
    throw new KeyheadsError(
      "USAGE",
      experts > 0
        ? "--senders neurons: the MLPs of this model are mixtures of experts, which have none"
        : `--senders neurons:${wrong}: this model has layers 0 to ${layers - 1}`,
    );
  }
  return [...neuronsOf(model, senders.neurons), ...(senders.embeds ? allEmbeddings(items) : [])];
}
