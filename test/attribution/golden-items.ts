// Items made of the fixtures' reference and counterfactual batches, and their golden tensors.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openSafetensors, readTensor } from "../../packages/keyheads/src/load/safetensors.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { type Item, readItems } from "../../packages/keyheads/src/tasks/items.ts";

export { families as fixtures } from "../families.ts";
export const fixture = (name: string) =>
  fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

export interface Golden {
  readonly items: Item[];
  readonly vocab: number;
  readonly knockOuts: readonly { heads: [number, number][]; mlps: number[] }[];
  /** Largest rounding error of the stored float32 numbers. */
  deviation(group: string): number;
  tensor(key: string): Promise<Float64Array>;
}

/** C is each sequence's own prediction, C' that of its counterfactual: any two tokens would do. */
export async function readGolden(name: string): Promise<Golden> {
  const facts = JSON.parse(await readFile(join(fixture(name), "golden.json"), "utf8"));
  const file = await openSafetensors(join(fixture(name), "golden.safetensors"));
  const tensor = async (key: string) => {
    const info = file.tensors.find((candidate) => candidate.name === key);
    if (!info) throw new Error(`${name} has no golden ${key}`);
    return await readTensor(info);
  };
  const { vocab, length } = facts.shape;
  const answersOf = (logits: Float64Array): number[] =>
    facts.input_ids.map((_: unknown, b: number) =>
      argmax(logits.subarray((b * length + length - 1) * vocab, (b + 1) * length * vocab)),
    );
  const answers = answersOf(await tensor("logits"));
  const others = answersOf(await tensor("cf.logits"));
  const items = facts.input_ids.map((promptIds: number[], b: number): Item => {
    const answerId = answers[b] as number;
    return {
      ...{ id: String(b), line: b + 1, promptIds, answerIds: [answerId], target: 0 },
      ...{ reference: promptIds, answerId, counterfactual: facts.cf_input_ids[b] },
      counterfactualAnswerId: others[b] as number,
      roles: {},
    };
  });
  return {
    items,
    vocab,
    knockOuts: facts.knock_out_sets.map(
      (set: { heads: [number, number][]; mlps: number[] }) => set,
    ),
    deviation: (group) => facts.float32_deviation[group].max_abs,
    tensor,
  };
}

export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; ++i) {
    if ((values[i] as number) > (values[best] as number)) best = i;
  }
  return best;
}

export async function loadPlanted() {
  const model = await Model.load(fixture("planted"));
  const items = await readItems(join(fixture("planted"), "problems.jsonl"), model.tokenizer, {
    single: true,
    vocab: model.spec.vocab,
    context: model.spec.context,
  });
  const truth = JSON.parse(await readFile(join(fixture("planted"), "truth.json"), "utf8"));
  return { model, items, truth };
}
