// Plain English as a control for any model whose tokenizer can spell it.
import { readFile } from "node:fs/promises";
import { type TaskCard, textFile } from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";
import type { Model } from "../model.ts";
import type { ItemSet } from "../tasks/items.ts";
import { textItems } from "../tasks/text-control.ts";

const file = "tom-sawyer.txt";
const items = 300;

export interface NeutralText {
  readonly dev: ItemSet;
  readonly test: ItemSet;
}

/** Disjoint halves of one text; undefined where the tokenizer cannot spell it. */
export async function neutralText(
  model: Model,
  card: TaskCard | undefined,
  seed: number,
): Promise<NeutralText | undefined> {
  if (!model.tokenizer) return undefined;
  const text = await readFile(textFile(card?.text?.file ?? file), "utf8");
  const middle = text.indexOf(" ", text.length / 2);
  try {
    const part = (name: string, half: string) =>
      textItems(half, model.needTokenizer(), {
        count: items,
        seed,
        context: model.spec.context,
        name,
      });
    return { dev: part("text", text.slice(0, middle)), test: part("text", text.slice(middle + 1)) };
  } catch (cause) {
    if (cause instanceof KeyheadsError && cause.code === "UNKNOWN_TOKEN") return undefined;
    throw cause;
  }
}
