// A circuit of edges by its definition, one node after the other: what a node reads is put together
// from what the others write, in this circuit along its edges, on X_c along all others, and set into
// a whole run of its own. Nothing is shared with what is tested but the graph's names.
import type { FloatArray } from "@keyheads/native";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import type { HookEdit, Model } from "../../packages/keyheads/src/model.ts";
import type { Item } from "../../packages/keyheads/src/tasks/items.ts";

/** The logit difference of one item in the circuit of these edges. */
export async function edgeOracle(model: Model, item: Item, edges: ReadonlySet<string>) {
  const { layers, heads, kvHeads, dModel, vocab, qkNorm } = model.spec;
  const reference = item.reference;
  const read = async (hook: string, edits: HookEdit[], sequence = reference, head?: number) => {
    const capture = { hook, ...(head !== undefined && { head }) };
    const run = await model.forward({ sequences: [sequence], edits, captures: [capture] });
    return run.captures[0] as FloatArray;
  };
  const counterfactual = item.counterfactual as readonly number[];
  const onCounterfactual = (hook: string, head?: number) => read(hook, [], counterfactual, head);

  const written = new Map<string, FloatArray>([["input", await read(hooks.resid_pre(0), [])]]);
  const corrupt = new Map([["input", await onCounterfactual(hooks.resid_pre(0))]]);
  const bias: FloatArray[] = [];
  for (let l = 0; l < layers; ++l) {
    corrupt.set(`m${l}`, await onCounterfactual(hooks.mlp_out(l)));
    const rest = (await onCounterfactual(hooks.attn_out_raw(l))).slice();
    for (let h = 0; h < heads; ++h) {
      const one = await onCounterfactual(hooks.result(l), h);
      corrupt.set(`a${l}.h${h}`, one);
      one.forEach((x, i) => {
        rest[i] = (rest[i] as number) - x;
      });
    }
    bias.push(rest);
  }

  /** The stream that `reader` sees before layer `layer`, with that layer's heads if `mid`. */
  const stream = async (reader: string, layer: number, mid: boolean): Promise<FloatArray> => {
    const of = (node: string) =>
      (edges.has(`${node}->${reader}`) ? written.get(node) : corrupt.get(node)) as FloatArray;
    const sum = new Float64Array(reference.length * dModel);
    const add = (values: FloatArray, into: Float64Array = sum) =>
      values.forEach((x, i) => {
        into[i] = (into[i] as number) + x;
      });
    add(of("input"));
    for (let l = 0; l < layer + (mid ? 1 : 0); ++l) {
      const raw = Float64Array.from(bias[l] as FloatArray);
      for (let h = 0; h < heads; ++h) add(of(`a${l}.h${h}`), raw);
      add(await read(hooks.attn_out(l), [{ hook: hooks.attn_out_raw(l), op: "set", value: raw }]));
      if (l < layer) add(of(`m${l}`));
    }
    return sum;
  };

  for (let l = 0; l < layers; ++l) {
    for (let h = 0; h < heads; ++h) {
      const group = Math.floor(h / (heads / kvHeads));
      const set = async (input: "q" | "k" | "v", hook: string, head: number) => {
        const value = await stream(`a${l}.h${h}<${input}>`, l, false);
        if (qkNorm !== "width") return { hook, head, op: "set", value } as const;
        // A norm over the queries of all heads: in this head's run they all read what it reads.
        const count = input === "q" ? heads : kvHeads;
        const rows = Array.from({ length: reference.length }, (_, p) =>
          value.slice(p * dModel, (p + 1) * dModel),
        );
        const copies = rows.flatMap((row) => Array.from({ length: count }, () => [...row]).flat());
        return { hook, op: "set", value: Float64Array.from(copies) } as const;
      };
      const edits = [
        await set("q", hooks.q_input(l), h),
        await set("k", hooks.k_input(l), group),
        await set("v", hooks.v_input(l), group),
      ];
      written.set(`a${l}.h${h}`, await read(hooks.result(l), edits, reference, h));
    }
    const value = await stream(`m${l}`, l, model.spec.block === "sequential");
    const edits: HookEdit[] = [{ hook: hooks.mlp_in(l), op: "set", value }];
    written.set(`m${l}`, await read(hooks.mlp_out(l), edits));
  }
  const value = await stream("logits", layers, false);
  const { logits } = await model.forward({
    sequences: [reference],
    edits: [{ hook: hooks.resid_post(layers - 1), op: "set", value }],
    readout: { logits: "all", rows: "end" },
  });
  if (logits?.length !== vocab) throw new Error("expected the logits of END");
  return (
    (logits[item.answerId] as number) - (logits[item.counterfactualAnswerId as number] as number)
  );
}
