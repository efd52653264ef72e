// Writes items files.
import { writeFile } from "node:fs/promises";
import { KeyheadsError } from "../errors.ts";
import type { Item } from "./item.ts";
import type { RawItem } from "./line-fields.ts";

/** Writes one line an item. Throws OUTPUT_EXISTS unless `force`, WRITE_FAILED otherwise. */
export async function writeItems(
  file: string,
  items: readonly RawItem[],
  options: { readonly force?: boolean } = {},
): Promise<void> {
  const text = items.map((item) => `${JSON.stringify(item)}\n`).join("");
  try {
    await writeFile(file, text, { flag: options.force ? "w" : "wx" });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") {
      throw new KeyheadsError("OUTPUT_EXISTS", `${file} exists; --force overwrites it`, { cause });
    }
    throw new KeyheadsError("WRITE_FAILED", `cannot write ${file}: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** An item in token ids: no tokenizer is needed to read it again. */
export function toRaw(item: Item): RawItem {
  const roles = Object.entries(item.roles).map(([role, [start, stop]]) => [role, [start, stop]]);
  const { id, group, template, cluster, split, prompt, answer } = item;
  const labels = { id, group, template, cluster, split, prompt, answer };
  return {
    ...(Object.fromEntries(Object.entries(labels).filter(([, v]) => v !== undefined)) as RawItem),
    prompt_ids: item.promptIds,
    answer_ids: item.answerIds,
    target: item.target,
    // The prefix of X_c is part of these ids already.
    ...(item.counterfactual
      ? { counterfactual_ids: item.counterfactual, counterfactual_prefix_ids: [] }
      : {}),
    ...(item.counterfactualAnswerId === undefined
      ? {}
      : { counterfactual_answer_id: item.counterfactualAnswerId }),
    role_ids: Object.fromEntries(roles) as Record<string, [number, number]>,
    ...(item.choiceIds ? { choice_ids: item.choiceIds } : {}),
  };
}
