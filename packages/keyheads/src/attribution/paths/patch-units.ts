// Effects of any units: heads, MLPs, neurons, embeddings; into receivers or to the logits, or with
// everything downstream recomputed.
import type { ReadoutResult } from "@keyheads/native";
import { KeyheadsError } from "../../errors.ts";
import type { CallOptions, Model, SweepOptions } from "../../model.ts";
import type { Item, ItemSet } from "../../tasks/items.ts";
import { chunkSize } from "../chunk-size.ts";
import { naiveSweep } from "../naive-sweep.ts";
import type { MlpPath } from "../options.ts";
import type { Pair } from "../pairs.ts";
import { emptyReading, pairReadout, type Reading, readingOf, storeReading } from "../reading.ts";
import { patchInto } from "./into.ts";
import { longestOf, Question, type QuestionOptions, type UnitEffect } from "./question.ts";
import { checkReceivers, checkWholeGroups, type Receiver } from "./receivers.ts";
import { type At, checkUnits, hasUnit, Replacement, type Unit, unitName } from "./unit.ts";

export interface PatchUnitsOptions extends QuestionOptions {
  /** path: attention frozen (default). activation: everything downstream is recomputed. */
  readonly method?: "path" | "activation";
  /** Where a path ends; the logits by default. Of paths only. */
  readonly receivers?: readonly Receiver[];
  /**
   * Where units, and receivers, are replaced: END by default, and everywhere where a receiver is a
   * key or a value. Other places than END need pairs of equal length. Embeddings have a place already.
   */
  readonly at?: At;
  readonly mlpPath?: MlpPath;
  /** With grouped queries: k and v receivers are whole groups, not copies of their heads' own. */
  readonly wholeGroups?: boolean;
  /** One hooked forward pass a unit: slow, defines what is computed. */
  readonly naive?: boolean;
}

export interface PatchedUnits {
  readonly items: Question["counts"];
  readonly effect: string;
  readonly reference: number;
  readonly counterfactual: number;
  readonly totalEffect: number;
  /** In the order of the units. */
  readonly units: readonly UnitEffect[];
  readonly validity: Question["validity"];
}

/**
 * Effect of every unit on the answer, as mean(patched - reference).
 *
 * @example
 * const { units } = await patchUnits(model, items, [{ layer: 3, neuron: 17 }], {
 *   receivers: [{ input: "q", layer: 5, head: 1 }],
 * });
 */
export async function patchUnits(
  model: Model,
  items: ItemSet | readonly Item[],
  units: readonly Unit[],
  options: PatchUnitsOptions = {},
): Promise<PatchedUnits> {
  const settings = settingsOf(options);
  checkUnits(units, model);
  checkReceivers(settings.receivers, model.spec);
  const question = await Question.ask(model, items, lengthsMatter(settings.at, units), options);
  const readings = await readUnits(model, question, units, settings, options);
  return {
    items: question.counts,
    effect: question.effect.name,
    ...question.totals(),
    units: question.summarise(units.map(unitName), readings),
    validity: question.validity,
  };
}

export interface PathSettings {
  readonly method: "path" | "activation";
  readonly receivers: readonly Receiver[];
  readonly at: At;
  readonly mlpPath: MlpPath;
  readonly wholeGroups: boolean;
  readonly naive: boolean;
}

export function settingsOf(options: PatchUnitsOptions): PathSettings {
  const { method = "path", receivers = [], mlpPath = "recompute" } = options;
  const refuse = (why: string) => new KeyheadsError("BAD_ARGUMENT", why);
  if (method === "activation" && (receivers.length > 0 || mlpPath === "freeze")) {
    throw refuse(
      'activation patching recomputes everything downstream: receivers and mlpPath "freeze" are for path patching',
    );
  }
  const everywhere = receivers.some(({ input }) => input === "k" || input === "v");
  const at = options.at ?? (everywhere ? "all" : "end");
  if (method === "path" && receivers.length === 0 && at !== "end") {
    throw refuse(
      'only END acts on the logits directly; other positions need receivers, or method "activation"',
    );
  }
  const { wholeGroups = false, naive = false } = options;
  checkWholeGroups(
    wholeGroups,
    receivers.map(({ input }) => input),
  );
  return { method, receivers, at, mlpPath, wholeGroups, naive };
}

/** What is replaced before END must be at the same position in X_c. */
export function lengthsMatter(at: At, units: readonly Unit[]): "end" | "all" {
  const early = units.some((unit) => "back" in unit && unit.back > 0);
  return at === "end" && !early ? "end" : "all";
}

/** One reading a unit, NaN on items that lack it. */
export async function readUnits(
  model: Model,
  { pairs, effect }: Pick<Question, "pairs" | "effect">,
  units: readonly Unit[],
  settings: PathSettings,
  { batch, signal, onProgress }: QuestionOptions,
): Promise<Reading[]> {
  const readings = units.map(() => emptyReading(pairs.length));
  const { at } = settings;
  const size =
    batch ?? chunkSize(model, longestOf(pairs), at === "end" ? "end" : "all", 3 * units.length);
  const total = pairs.length * units.length;
  for (let start = 0; start < pairs.length; start += size) {
    const chunk = pairs.slice(start, start + size);
    const call: CallOptions = {
      ...(signal && { signal }),
      onProgress: (done, all) =>
        onProgress?.(
          start * units.length + Math.floor((chunk.length * units.length * done) / all),
          total,
        ),
    };
    const found = await patchChunk(model, chunk, units, settings, effect.needsLogsumexp, call);
    units.forEach((unit, u) => {
      storeReading(readings[u] as Reading, start, found[u] as ReadoutResult, 0, chunk.length);
      chunk.forEach((pair, i) => {
        if (!hasUnit(unit, pair)) (readings[u] as Reading).answer[start + i] = Number.NaN;
      });
    });
  }
  return readings;
}

async function patchChunk(
  model: Model,
  pairs: readonly Pair[],
  units: readonly Unit[],
  settings: PathSettings,
  logsumexp: boolean,
  call: CallOptions,
): Promise<ReadoutResult[]> {
  const { method, receivers, at, mlpPath, wholeGroups, naive } = settings;
  const freeze = mlpPath === "freeze" ? "attention+mlp" : "attention";
  if (receivers.length > 0) {
    const sweep = { senders: units, receivers, at, freeze, wholeGroups, logsumexp, naive } as const;
    return await patchInto(model, pairs, sweep, call);
  }
  const { onProgress, ...quiet } = call;
  const replacement = await Replacement.of(model, pairs, units, at, quiet);
  const options: SweepOptions = {
    sequences: pairs.map((pair) => pair.reference),
    variants: units.map((unit) => replacement.edits(unit)),
    freeze: method === "activation" ? "none" : freeze,
    readout: pairReadout(pairs, logsumexp),
  };
  const run = naive ? naiveSweep(model, options, call) : model.sweep(options, call);
  const { variants } = await run;
  return units.map((_, u) => readingOf(variants, u, pairs.length));
}
