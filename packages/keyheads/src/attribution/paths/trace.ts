// Circuits by path patching backwards (Wang et al. 2022): which heads and MLPs act on the logits, which
// act on the inputs of those, and so on.
import { KeyheadsError } from "../../errors.ts";
import type { Model } from "../../model.ts";
import type { Item, ItemSet } from "../../tasks/items.ts";
import { allHeads, allMlps, type Component, componentName, isMlp } from "../component.ts";
import type { MlpPath, SenderKind } from "../options.ts";
import { readUnits } from "./patch-units.ts";
import { Question, type QuestionOptions, type UnitEffect } from "./question.ts";
import { checkWholeGroups, type HeadInput, type Receiver } from "./receivers.ts";

export interface TraceOptions extends QuestionOptions {
  /** Which kinds of components may be part of the circuit; both by default. */
  readonly senders?: readonly SenderKind[];
  /** Senders kept for one receiver, at most; 5. */
  readonly top?: number;
  /** A sender is kept if its effect is at least this share of the total effect, either way; 0.05. */
  readonly minimumShare?: number;
  /** Steps back from the logits: 1 finds only what acts on them; 3. */
  readonly depth?: number;
  /** Inputs of heads that are followed; all, or q alone where pairs differ in length. */
  readonly inputs?: readonly HeadInput["input"][];
  /** Where receivers beyond the logits read; everywhere, or END where pairs differ in length. */
  readonly at?: "end" | "all";
  readonly mlpPath?: MlpPath;
  readonly wholeGroups?: boolean;
}

export interface CircuitNode {
  /** `3.1`, `mlp 3`, or `logits`. */
  readonly name: string;
  readonly kind: "head" | "mlp" | "logits";
  readonly layer?: number;
  readonly head?: number;
  /** Steps back from the logits at which it was found. */
  readonly step: number;
}
/** The path from a sender into one input of a node; its effect is what patching it does to the answer. */
export interface CircuitEdge {
  readonly from: string;
  readonly to: string;
  readonly input: HeadInput["input"] | "mlp" | "logits";
  readonly effect: number;
  readonly low: number;
  readonly high: number;
  readonly share: number;
}
export interface TracedCircuit {
  readonly items: Question["counts"];
  readonly effect: string;
  readonly reference: number;
  readonly counterfactual: number;
  readonly totalEffect: number;
  readonly positions: "end" | "all";
  readonly nodes: readonly CircuitNode[];
  /** Strongest first, of each receiver; receivers in the order in which they were traced. */
  readonly edges: readonly CircuitEdge[];
  readonly validity: Question["validity"];
}

/**
 * Traces a circuit from the logits back. Throws BAD_ITEMS where X_c changes nothing that could be
 * shared out.
 *
 * @example
 * const { nodes, edges } = await traceCircuit(model, items, { depth: 2 });
 */
export async function traceCircuit(
  model: Model,
  items: ItemSet | readonly Item[],
  options: TraceOptions = {},
): Promise<TracedCircuit> {
  const question = await Question.ask(model, items, options.at ?? "end", options);
  const tracer = new Tracer(model, question, options);
  await tracer.run();
  return {
    items: question.counts,
    effect: question.effect.name,
    ...question.totals(),
    positions: tracer.at,
    nodes: [...tracer.nodes.values()],
    edges: tracer.edges,
    validity: question.validity,
  };
}

class Tracer {
  readonly nodes = new Map<string, CircuitNode>([
    ["logits", { name: "logits", kind: "logits", step: 0 }],
  ]);
  readonly edges: CircuitEdge[] = [];
  readonly at: "end" | "all";
  readonly #model: Model;
  readonly #question: Question;
  readonly #options: TraceOptions;
  readonly #inputs: readonly HeadInput["input"][];

  constructor(model: Model, question: Question, options: TraceOptions) {
    this.#model = model;
    this.#question = question;
    this.#options = options;
    const equal = question.pairs.every(
      ({ reference, counterfactual }) => reference.length === counterfactual.length,
    );
    this.at = options.at ?? (equal ? "all" : "end");
    // At END alone no key or value but END's own changes.
    this.#inputs = options.inputs ?? (this.at === "all" ? ["q", "k", "v"] : ["q"]);
    checkWholeGroups(options.wholeGroups ?? false, this.#inputs);
  }

  async run(): Promise<void> {
    const { depth = 3 } = this.#options;
    if (!(Number.isInteger(depth) && depth >= 1)) {
      throw new KeyheadsError("BAD_ARGUMENT", `depth ${depth}: expected an integer of at least 1`);
    }
    let found = await this.#trace("logits", "logits", undefined, 1);
    for (let step = 2; step <= depth && found.length > 0; ++step) {
      const next: Component[] = [];
      // From the last layer back, so that edges come in an order that can be read.
      for (const component of found.sort((a, b) => b.layer - a.layer || b.head - a.head)) {
        for (const receiver of this.#receivers(component)) {
          const name = componentName(component);
          next.push(...(await this.#trace(name, receiver.input as "q", receiver, step)));
        }
      }
      found = next;
    }
  }

  #receivers({ layer, head }: Component): Receiver[] {
    if (head < 0) return [{ input: "mlp", layer }];
    return this.#inputs.map((input) => ({ input, layer, head }));
  }

  /** Adds the edges into one receiver; gives the components that were not in the circuit yet. */
  async #trace(
    to: string,
    input: CircuitEdge["input"],
    receiver: Receiver | undefined,
    step: number,
  ): Promise<Component[]> {
    const senders = this.#senders(receiver);
    if (senders.length === 0) return [];
    const { mlpPath = "recompute", wholeGroups = false } = this.#options;
    const settings = {
      method: "path",
      receivers: receiver ? [receiver] : [],
      at: receiver ? this.at : "end",
      ...{ mlpPath, wholeGroups },
      naive: false,
    } as const;
    const readings = await readUnits(this.#model, this.#question, senders, settings, this.#options);
    const effects = this.#question.summarise(senders.map(componentName), readings);
    const kept = this.#keep(effects);
    const fresh: Component[] = [];
    for (const { name, ...effect } of kept) {
      this.edges.push({ from: name, to, input, ...effect });
      if (this.nodes.has(name)) continue;
      const component = senders.find((sender) => componentName(sender) === name) as Component;
      this.nodes.set(name, nodeOf(component, step));
      fresh.push(component);
    }
    return fresh;
  }

  /** Components whose output a receiver's input contains. */
  #senders(receiver: Receiver | undefined): Component[] {
    const { spec } = this.#model;
    const { senders = ["heads", "mlps"] } = this.#options;
    const last = receiver?.layer ?? spec.layers;
    // In sequential blocks an MLP reads what the heads of its own layer wrote.
    const own = receiver?.input === "mlp" && spec.block === "sequential" ? last : last - 1;
    return [
      ...(senders.includes("heads") ? allHeads(spec).filter(({ layer }) => layer <= own) : []),
      ...(senders.includes("mlps") ? allMlps(spec).filter(({ layer }) => layer < last) : []),
    ];
  }

  /** Large enough, and not zero by chance alone. */
  #keep(effects: readonly UnitEffect[]): UnitEffect[] {
    const { top = 5, minimumShare = 0.05 } = this.#options;
    if (effects.some(({ share }) => Number.isNaN(share))) {
      throw new KeyheadsError(
        "BAD_ITEMS",
        "X_c does what X_r does, so there is no effect to trace; use other counterfactuals",
      );
    }
    return effects
      .filter(({ share, low, high }) => Math.abs(share) >= minimumShare && low * high > 0)
      .sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect))
      .slice(0, top);
  }
}

function nodeOf(component: Component, step: number): CircuitNode {
  const { layer, head } = component;
  const name = componentName(component);
  return isMlp(component)
    ? { name, kind: "mlp", layer, step }
    : { name, kind: "head", layer, head, step };
}
