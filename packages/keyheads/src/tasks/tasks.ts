/**
 * Tasks as the library offers them: what to ask is said first, and made for a model's tokenizer
 * when the model is known.
 *
 * @example
 * const data = await tasks.arithmetic({ operation: "add", count: 500 }).for(model);
 * const control = await tasks.text("prose.txt").for(model);
 */
import type { Operation } from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";
import { type BuildOptions, buildTaskItems, cardOf, type TaskModel } from "./build-items.ts";
import { type ItemSet, itemsFromRaw } from "./items.ts";
import { readTextItems, type TextOptions } from "./text-control.ts";

export interface Task {
  /** The task's items for this model. Throws where its tokenizer cannot be asked. */
  for(model: TaskModel): Promise<ItemSet>;
}

export type NamedOptions = Omit<BuildOptions, "tasks">;

export const tasks = {
  /** An operation in words and symbols; with the wordings of a bundled model's card. */
  arithmetic(options: NamedOptions & { readonly operation: Operation }): Task {
    return tasks.named(options.operation, options);
  },

  /** Any task of `taskNames`: the operations, or what a bundled model's card has besides. */
  named(task: string, options: NamedOptions = {}): Task {
    return {
      async for(model) {
        const built = await buildTaskItems(model, { ...options, tasks: [task] });
        const raw = built.flatMap(({ items }) => items);
        return itemsFromRaw(raw, model.tokenizer, { ...model.spec, single: true, name: task });
      },
    };
  },

  /** Next tokens of a text file, or of the text of a bundled model's card. */
  text(file?: string, options: Omit<TextOptions, "context"> = {}): Task {
    return {
      async for(model) {
        if (file === undefined) {
          if (cardOf(model)?.text) return tasks.named("text", options).for(model);
          throw new KeyheadsError(
            "BAD_ARGUMENT",
            `no text comes with ${model.name}; name a .txt file`,
          );
        }
        if (!model.tokenizer) {
          throw new KeyheadsError(
            "NO_TOKENIZER",
            `${model.name} has no tokenizer, which text needs`,
          );
        }
        const { context } = model.spec;
        return await readTextItems(file, model.tokenizer, { ...options, context });
      },
    };
  },
};
