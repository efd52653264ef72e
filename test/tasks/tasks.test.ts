import { beforeAll, describe, expect, it } from "vitest";
import type { TaskModel } from "../../packages/keyheads/src/tasks/build-items.ts";
import { tasks } from "../../packages/keyheads/src/tasks/tasks.ts";
import { loadTokenizer } from "../../packages/keyheads/src/tokenizer/load.ts";
import { type BundledModel, bundledModels, textFile } from "../../packages/models/src/index.ts";
import { llama3Like } from "./fake-tokenizer.ts";

const spec = { vocab: 2048, context: 512 };
let demo: TaskModel;
beforeAll(async () => {
  const entry = bundledModels.find((m) => m.name === "arith-demo") as BundledModel;
  demo = { name: entry.name, tokenizer: await loadTokenizer(entry.folder), spec };
});
const other: TaskModel = { name: "x", tokenizer: llama3Like, spec };

describe("tasks of the library", () => {
  it("are made for the model that they are asked of", async () => {
    const task = tasks.arithmetic({ operation: "mul", count: 40 });
    const [mine, theirs] = [await task.for(demo), await task.for(other)];
    for (const set of [mine, theirs]) {
      expect(set.name).toBe("mul");
      expect(set.items).toHaveLength(40);
      expect(set.dropped).toEqual([]);
    }
    expect(mine.items[0]?.prompt).not.toBe(theirs.items[0]?.prompt);
  });

  it("have names of their own on a bundled model", async () => {
    const { items } = await tasks.named("which-color", { count: 30, split: "dev" }).for(demo);
    expect(items).toHaveLength(30);
    await expect(tasks.named("which-color").for(other)).rejects.toThrow(/no task "which-color"/);
  });

  it("take the card's text, or a file", async () => {
    expect((await tasks.text().for(demo)).items).toHaveLength(200);
    const file = textFile("stories.txt");
    const { items } = await tasks.text(file, { count: 20, window: 8 }).for(demo);
    expect(items).toHaveLength(20);
    await expect(tasks.text().for(other)).rejects.toThrow(/no text comes with x; name a .txt file/);
    const blind = { ...demo, name: "y", tokenizer: undefined };
    await expect(tasks.text(file).for(blind)).rejects.toThrow(/y has no tokenizer/);
  });
});
