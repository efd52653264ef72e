// A program of a user, compiled by `npm run release:dry` against the packed package with strict
// settings. What must not compile is marked; nothing here is run.
import {
  type ErrorCode,
  type ForwardOutput,
  hooks,
  type ItemSet,
  identify,
  KeyheadsError,
  knockOut,
  Model,
  parseHeads,
  type RawItem,
  readItems,
} from "keyheads";
import { type BundledModel, bundledModels, defaultModels } from "keyheads/models";
import { type Binding, type LoadedFrom, loadBinding, loadedFrom, version } from "keyheads/native";
import { renderReport, schemaVersion } from "keyheads/report";

export async function heads(folder: string): Promise<readonly string[]> {
  using model = await Model.load(folder, { dtype: "f32", device: "cpu" });
  const { vocab, context } = model.spec;
  const items: ItemSet = await readItems("items.jsonl", model.tokenizer, {
    vocab,
    context,
    single: true,
  });
  const effects = await identify(model, items);
  const found = parseHeads(effects.keyHeads.join(","), model.spec);
  await knockOut(model, items, { heads: found });
  const output: ForwardOutput = await model.forward({
    sequences: [[1, 2, 3]],
    captures: [{ hook: hooks.z(0), head: 0, positions: "end" }],
  });
  output satisfies object;
  const keys: readonly string[] = effects.keyHeads;
  return keys;
}

export const item: RawItem = { prompt: "1 + 1 = ", answer: "2", id: 1, prompt_ids: [1, 2] };
// @ts-expect-error token ids are numbers
export const wrongItem: RawItem = { prompt_ids: ["1"] };
// @ts-expect-error there is no such device
export const wrongDevice = Model.load(".", { device: "tpu" });

export const binding: Binding = loadBinding();
export const from: LoadedFrom = loadedFrom();
export const models: readonly BundledModel[] = bundledModels;
export const first: string | undefined = defaultModels[0];
export const text: [string, number] = [version, schemaVersion];
export const render: (...values: Parameters<typeof renderReport>) => string = renderReport;
export const code = (error: unknown): ErrorCode | undefined =>
  error instanceof KeyheadsError ? error.code : undefined;
