import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { itemTokens } from "../../packages/keyheads/src/evaluation/answers.ts";
import {
  chunkTokens,
  evaluateText,
  evaluateTextFile,
  textChunks,
} from "../../packages/keyheads/src/evaluation/text.ts";
import { load, loadFolder, scratch } from "../tuning/models.ts";

const stories = join(import.meta.dirname, "../../packages/models/models/stories260K");

describe("chunks of a text", () => {
  const ids = Array.from({ length: 23 }, (_, i) => 100 + i);
  const predicted = (prefix: readonly number[], length: number) => {
    const chunks = chunkTokens(ids, prefix, length);
    return Array.from(chunks.answerStarts, (start, i) => {
      const tokens = [...itemTokens(chunks, i)];
      expect(tokens.slice(0, prefix.length)).toEqual(prefix);
      expect(tokens.length - 1).toBeLessThanOrEqual(length);
      return tokens.slice(start);
    }).flat();
  };
  test("predict every token once; without a token before the text, all but the first", () => {
    expect(predicted([1], 5)).toEqual(ids);
    expect(predicted([1, 2], 7)).toEqual(ids);
    expect(predicted([], 5)).toEqual(ids.slice(1));
    expect(predicted([], 22)).toEqual(ids.slice(1));
    expect(predicted([1], 400)).toEqual(ids);
  });
  test("need something to predict", () => {
    expect(() => chunkTokens([7], [], 5)).toThrow("leaves nothing to predict");
    expect(() => chunkTokens(ids, [1, 2, 3], 2)).toThrow("leaves nothing to predict");
  });
});

describe("text as a control", () => {
  const text = "Once upon a time, there was a little girl named Lily. She loved to play outside.";

  test("a model of stories reads a story better than shuffled words", async () => {
    const model = await loadFolder(stories);
    const file = join(await scratch(), "story.txt");
    await writeFile(file, text);
    const story = await evaluateTextFile(model, file);
    expect(story.tokens).toBe(model.needTokenizer().encode(text).length - 1);
    expect(story.chunks).toBe(1);
    expect(story.accuracy).toBeGreaterThan(0.5);
    expect(story.loss).toBeLessThan(1.5);
    const words = text.split(" ").sort().join(" ");
    const shuffled = await evaluateText(model, textChunks(model, words));
    expect(shuffled.loss).toBeGreaterThan(story.loss + 1);

    const chunked = textChunks(model, text.repeat(8), { chunkTokens: 32, maxTokens: 200 });
    const many = await evaluateText(model, chunked);
    expect(many.tokens).toBe(199);
    expect(many.chunks).toBe(Math.ceil(199 / 32));
    expect(many.lossCI[0]).toBeLessThan(many.loss);
    expect(many.lossCI[1]).toBeGreaterThan(many.loss);
  });

  test("a file that is not there, a model without tokenizer, chunks beyond the context", async () => {
    const model = await loadFolder(stories);
    const missing = evaluateTextFile(model, "/nowhere/a.txt");
    await expect(missing).rejects.toMatchObject({ code: "BAD_ITEMS" });
    expect(() => textChunks(model, text, { chunkTokens: 513 })).toThrow(
      "chunks of 513 tokens: expected 2 to 512",
    );
    const bare = await load("gpt2");
    expect(() => textChunks(bare, text)).toThrow(expect.objectContaining({ code: "NO_TOKENIZER" }));
  });
});
