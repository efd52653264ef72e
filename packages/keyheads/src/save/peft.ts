// Low-rank factors as PEFT stores them (adapter_config.json, adapter_model.safetensors), for its
// `PeftModel.from_pretrained`. A module of the checkpoint that is several slots here (fused q, k and v)
// gets the factors of all of them, one below the other in A, each on its own rows in B.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AddedWeights, MatrixSlot, SlotRef } from "@keyheads/native";
import { architectures } from "../archs/index.ts";
import { KeyheadsError } from "../errors.ts";
import { candidates, type SlotSource } from "../load/map-slots.ts";
import { slotKey, slotShape } from "../load/slots.ts";
import { type TensorToWrite, writeSafetensors } from "../load/write-safetensors.ts";
import type { Model } from "../model.ts";
import { groupBy } from "../statistics/group-by.ts";
import { outputFolder } from "./output-folder.ts";
import { storedRow } from "./stored.ts";

type Factors = SlotRef<MatrixSlot> & { readonly rank: number; readonly scale: number };

/** Writes the factors that a model carries. Throws USAGE for what PEFT has no place for. */
export async function savePeft(
  model: Model,
  out: string,
  added: readonly AddedWeights[],
  options: { readonly force?: boolean } = {},
): Promise<string> {
  const factors = added.filter((one): one is Factors => "rank" in one);
  if (factors.length === 0) throw new KeyheadsError("USAGE", "there are no low-rank factors");
  const misfit = factors.find(({ expert, slot }) => expert !== undefined || slot === "router");
  if (misfit) {
    throw new KeyheadsError(
      "USAGE",
      `${slotKey(misfit)}: PEFT has no place for factors of experts; keep the delta file`,
    );
  }
  const byTensor = groupBy(factors, (one) => sourceOf(model, one).tensor);
  const tensors: TensorToWrite[] = [];
  const modules: { readonly name: string; readonly rank: number; readonly scale: number }[] = [];
  for (const [tensor, group] of byTensor) {
    const name = moduleName(model, tensor);
    tensors.push(...(await moduleTensors(model, name, group)));
    modules.push({
      name,
      rank: group.reduce((sum, { rank }) => sum + rank, 0),
      scale: (group[0] as Factors).scale,
    });
  }
  const first = modules[0] as (typeof modules)[number];
  const others = modules.filter(({ rank, scale }) => rank !== first.rank || scale !== first.scale);
  const config = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: model.folder,
    inference_mode: true,
    r: first.rank,
    lora_alpha: first.scale * first.rank,
    lora_dropout: 0,
    bias: "none",
    fan_in_fan_out: sourceOf(model, factors[0] as Factors).transpose,
    target_modules: modules.map(({ name }) => name),
    rank_pattern: Object.fromEntries(others.map(({ name, rank }) => [name, rank])),
    alpha_pattern: Object.fromEntries(others.map(({ name, rank, scale }) => [name, rank * scale])),
  };
  return await outputFolder(out, options, async (folder) => {
    await writeSafetensors(join(folder, "adapter_model.safetensors"), tensors);
    const text = `${JSON.stringify(config, null, 2)}\n`;
    await writeFile(join(folder, "adapter_config.json"), text);
  });
}

async function moduleTensors(
  model: Model,
  name: string,
  group: readonly Factors[],
): Promise<TensorToWrite[]> {
  const rank = group.reduce((sum, one) => sum + one.rank, 0);
  const { shape, transpose } = sourceOf(model, group[0] as Factors);
  const out = shape[transpose ? 1 : 0] as number;
  const [, into = 1] = slotShape((group[0] as Factors).slot, model.spec);
  const a = new Float32Array(rank * into);
  const b = new Float32Array(out * rank);
  let first = 0;
  for (const one of group) {
    a.set(await model.readWeight({ ...one, slot: `${one.slot}.loraA` }), first * into);
    const values = await model.readWeight({ ...one, slot: `${one.slot}.loraB` });
    const source = sourceOf(model, one);
    for (let row = 0; row < values.length / one.rank; ++row) {
      const part = values.subarray(row * one.rank, (row + 1) * one.rank);
      b.set(part, storedRow(source, row) * rank + first);
    }
    first += one.rank;
  }
  const bytes = (values: Float32Array) => new Uint8Array(values.buffer);
  const key = `base_model.model.${name}`;
  return [
    { name: `${key}.lora_A.weight`, dtype: "F32", shape: [rank, into], data: bytes(a) },
    { name: `${key}.lora_B.weight`, dtype: "F32", shape: [out, rank], data: bytes(b) },
  ];
}

function sourceOf(model: Model, { slot, layer }: Factors): SlotSource {
  const source = model.files.slots.find((other) => other.slot === slot && other.layer === layer);
  if (source) return source;
  throw new KeyheadsError("BAD_ARGUMENT", `this model has no weight ${slot}.${layer}`);
}

/** The module as transformers names it, whose prefix some checkpoints leave out. */
function moduleName(model: Model, tensor: string): string {
  const arch = architectures.find(({ name }) => name === model.architecture);
  const prefix = arch?.optionalPrefix ?? "";
  const bare = tensor.startsWith(prefix) ? tensor.slice(prefix.length) : tensor;
  const [full = tensor] = arch ? candidates(bare, arch) : [tensor];
  return full.replace(/\.weight$/, "");
}
