// The plan for an items file of the user's. Splits are those of its lines where they have any, else
// drawn by cluster, so that what is found is judged on items it was not found on.
import { KeyheadsError } from "../errors.ts";
import { answersOf } from "../evaluation/answers.ts";
import type { Model } from "../model.ts";
import { type Item, type ItemSet, readItems } from "../tasks/items.ts";
import { type Split, splitOf } from "../tasks/splits.ts";
import { checkDisjoint } from "../validation/split.ts";
import { neutralText } from "./neutral-text.ts";
import { evaluationClass, type RunPlan } from "./plan.ts";

export async function itemsPlan(
  model: Model,
  file: string,
  options: { readonly seed: number; readonly strict?: boolean },
): Promise<RunPlan> {
  const { vocab, context } = model.spec;
  const all = await readItems(file, model.tokenizer, {
    single: true,
    vocab,
    context,
    ...(options.strict && { strict: true }),
  });
  const given = all.items.some((item) => item.split !== undefined);
  const part = (split: Split): ItemSet => ({
    name: all.name,
    items: all.items.filter((item) => splitFor(item, given, options.seed) === split),
    dropped: all.dropped,
  });
  const [discover, dev, test] = [part("discover"), part("dev"), part("test")];
  for (const [name, set] of Object.entries({ discover, dev, test })) {
    if (set.items.length > 0) continue;
    throw new KeyheadsError(
      "BAD_ITEMS",
      `${file} has no items in the split ${name}; give lines "split": "discover", "dev" or "test", or more clusters`,
    );
  }
  if (given) checkDisjoint([{ discovery: discover.items, evaluation: test.items }]);
  const text = await neutralText(model, undefined, options.seed);
  const classes = [
    evaluationClass("items", all.name, test.items, true),
    ...(text ? [evaluationClass("text", "next token of neutral text", text.test.items)] : []),
  ];
  return {
    task: {
      title: all.name,
      summary: `${all.items.length} items of ${all.name}.`,
      promptForm: all.items[0]?.prompt ?? "token ids",
      notes: given
        ? ["Splits are those of the file."]
        : ["Items are split by cluster: 50 % discover and tune, 20 % dev, 30 % test."],
    },
    questions: [
      {
        name: "items",
        title: all.name,
        description: "The items of the file.",
        discover,
        test,
        ...(text && { control: { title: "next token of neutral text", test: text.test } }),
      },
    ],
    classes,
    missing: [],
    nullOperator: false,
    // Without other items there is nothing that collateral damage could be seen on.
    ...(text && {
      tuning: {
        target: "items",
        train: answersOf(discover.items),
        dev: answersOf(dev.items),
        devOther: answersOf(text.dev.items),
        replay: answersOf(text.dev.items),
        classes,
        maxUpdates: 40,
      },
    }),
  };
}

function splitFor(item: Item, given: boolean, seed: number): string {
  if (given) return item.split ?? "discover";
  return splitOf(item.cluster ?? item.id, seed);
}
