// Runs of circuits of edges. Every input of the model (q, k, v of a head, an MLP, the logits) reads what
// its own edges bring: along an edge of the circuit what the sender writes in this very run, along any
// other what it writes on X_c. Layer by layer: a run of X_c's stream through one layer, in which inputs
// get the difference that the circuit makes to them. What the circuit does not reach is not computed.
import type { FloatArray, ModelSpec, ReadoutResult } from "@keyheads/native";
import { joinHeads, splitHeads } from "../../float-arrays.ts";
import { hooks } from "../../hooks.ts";
import type { CallOptions, HookEdit, Model, ReadoutOptions } from "../../model.ts";
import { groupBy } from "../../statistics/group-by.ts";
import {
  type CircuitMasks,
  type LayerMasks,
  liveSenders,
  type Mask,
  senderIndex,
} from "./circuit-graph.ts";
import { type Base, readBase, Written } from "./written.ts";

/** Items as one circuit after the other runs them; X_r and X_c of an item have the same length. */
export class CircuitRuns {
  readonly #model: Model;
  readonly #base: Base;
  readonly #call: CallOptions;

  private constructor(model: Model, base: Base, call: CallOptions) {
    this.#model = model;
    this.#base = base;
    this.#call = call;
  }

  static async of(
    model: Model,
    references: readonly (readonly number[])[],
    counterfactuals: readonly (readonly number[])[],
    call: CallOptions,
  ): Promise<CircuitRuns> {
    return new CircuitRuns(model, await readBase(model, references, counterfactuals, call), call);
  }

  /** What `readout` asks for at END of every item. */
  async run(circuit: CircuitMasks, readout: ReadoutOptions): Promise<ReadoutResult> {
    const { layers } = this.#model.spec;
    const written = new Written(this.#model.spec, this.#base);
    const live = liveSenders(this.#model.spec, circuit);
    for (const [layer, masks] of circuit.layers.entries()) {
      await this.#attention(layer, masks, live, written);
      await this.#mlp(layer, masks.mlp, live, written);
    }
    const value = written.into(circuit.logits);
    const edit = { hook: hooks.resid_post(layers - 1), op: "add" } as const;
    return await this.#model.forward({
      ...this.#start(layers - 1),
      ...(value && { edits: [{ ...edit, value }] }),
      readout,
      ...this.#call,
    });
  }

  #start(layer: number) {
    const { sequences, streams } = this.#base;
    return { sequences, startAtLayer: layer, residual: streams[layer] as FloatArray };
  }

  async #attention(layer: number, masks: LayerMasks, live: Uint8Array, written: Written) {
    const { spec } = this.#model;
    const share = spec.heads / spec.kvHeads;
    for (const heads of passes(spec, layer, masks, live)) {
      const edits = [
        this.#inputs(hooks.q_input(layer), heads, masks.q, 1, written),
        this.#inputs(hooks.k_input(layer), heads, masks.k, share, written),
        this.#inputs(hooks.v_input(layer), heads, masks.v, share, written),
      ].flat();
      const hook = hooks.result(layer);
      const { captures } = await this.#model.forward({
        ...this.#start(layer),
        stopAtLayer: layer + 1,
        edits,
        captures: [{ hook, heads }],
        ...this.#call,
      });
      const results = splitHeads(captures[0] as FloatArray, heads.length, spec.dModel);
      heads.forEach((head, i) => {
        written.store(senderIndex.head(spec, layer, head), results[i] as FloatArray);
      });
    }
  }

  /** What one input of these heads gets; of keys and values, their groups'. */
  #inputs(
    hook: string,
    heads: readonly number[],
    masks: readonly Mask[],
    share: number,
    written: Written,
  ): HookEdit[] {
    const { spec } = this.#model;
    const changes = new Map<number, FloatArray>();
    const own = heads.map((head) => Math.floor(head / share));
    const set = (at: number, change: FloatArray | undefined) => change && changes.set(at, change);
    if (normedTogether(spec)) {
      const change = written.into(masks[heads[0] as number] as Mask);
      for (let at = 0; at < spec.heads / share; ++at) set(at, change);
    } else {
      heads.forEach((head, i) => {
        if (own[i] !== own[i - 1]) set(own[i] as number, written.into(masks[head] as Mask));
      });
    }
    if (changes.size === 0) return [];
    const value = joinHeads([...changes.values()], spec.dModel);
    return [{ hook, heads: [...changes.keys()], op: "add", value }];
  }

  async #mlp(layer: number, mask: Mask, live: Uint8Array, written: Written) {
    const sender = senderIndex.mlp(this.#model.spec, layer);
    const change = live[sender] === 1 ? written.into(mask) : undefined;
    if (!change) return;
    const { captures } = await this.#model.forward({
      ...this.#start(layer),
      stopAtLayer: layer + 1,
      edits: [{ hook: hooks.mlp_in(layer), op: "add", value: change }],
      captures: [{ hook: hooks.mlp_out(layer) }],
      ...this.#call,
    });
    written.store(sender, captures[0] as FloatArray);
  }
}

/** All heads' queries (and keys) have one norm, so that a head's depend on what the others read. */
const normedTogether = ({ qkNorm }: ModelSpec): boolean => qkNorm === "width";

/**
 * The live heads of a layer, those together that one run can serve. Heads that share keys and values but
 * read them by different edges have runs of their own. So do heads whose queries are normed together:
 * in its run the whole layer reads what the head reads.
 */
function passes(
  spec: ModelSpec,
  layer: number,
  { q, k, v }: LayerMasks,
  live: Uint8Array,
): number[][] {
  const share = spec.heads / spec.kvHeads;
  const together = normedTogether(spec);
  const alive = Array.from({ length: spec.heads }, (_, head) => head).filter(
    (head) => live[senderIndex.head(spec, layer, head)] === 1,
  );
  const read = together ? [q, k, v] : share > 1 ? [k, v] : [];
  const keyOf = (head: number) =>
    read.map((masks) => masks[head]?.map((edge, s) => edge & (live[s] as number))).join(";");
  const groups = groupBy(alive, (head) => (together ? 0 : Math.floor(head / share)));
  const runs: number[][] = [];
  for (const group of groups.values()) {
    for (const [i, heads] of [...groupBy(group, keyOf).values()].entries()) {
      runs[i] = [...(runs[i] ?? []), ...heads];
    }
  }
  return runs.map((heads) => heads.sort((a, b) => a - b));
}
