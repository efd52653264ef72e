import { describe, expect, test } from "vitest";
import {
  answerBatch,
  answersOf,
  countItems,
  fixedAnswers,
  itemTokens,
  joinAnswers,
  pickAnswers,
  tokenBatches,
} from "../../packages/keyheads/src/evaluation/answers.ts";

const items = [
  { id: "a", line: 1, promptIds: [1, 2], answerIds: [3] },
  { id: "b", line: 2, promptIds: [4], answerIds: [5, 6, 7] },
];

describe("answer sets", () => {
  test("a batch leaves out the last answer token and reads before every answer token", () => {
    const batch = answerBatch(answersOf(items), [1, 0]);
    expect([...batch.tokens]).toEqual([4, 5, 6, 1, 2]);
    expect([...batch.offsets]).toEqual([0, 3, 5]);
    expect([...batch.rows]).toEqual([0, 1, 2, 4]);
    expect([...batch.targets]).toEqual([5, 6, 7, 3]);
    expect([...batch.rowStarts]).toEqual([0, 3, 4]);
    expect(batch.sequences.map((ids) => [...ids])).toEqual([
      [4, 5, 6],
      [1, 2],
    ]);
  });

  test("items of one length need no objects", () => {
    const set = fixedAnswers(Int32Array.of(1, 2, 3, 4, 5, 6), { length: 3, promptLength: 2 });
    expect(countItems(set)).toBe(2);
    expect([...itemTokens(set, 1)]).toEqual([4, 5, 6]);
    expect([...answerBatch(set, [0, 1]).targets]).toEqual([3, 6]);
    for (const [length, promptLength] of [
      [4, 2],
      [3, 3],
      [3, 0],
    ] as const) {
      const bad = () => fixedAnswers(Int32Array.of(1, 2, 3, 4, 5, 6), { length, promptLength });
      expect(bad).toThrow(expect.objectContaining({ code: "BAD_ITEMS" }));
    }
  });

  test("sets can be joined and picked from", () => {
    const set = joinAnswers([answersOf(items), pickAnswers(answersOf(items), [1])]);
    expect([...set.tokens]).toEqual([1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7]);
    expect([...set.offsets]).toEqual([0, 3, 7, 11]);
    expect([...set.answerStarts]).toEqual([2, 1, 1]);
  });

  test("batches hold a number of tokens, and at least one item", () => {
    const set = answersOf([...items, ...items, ...items]);
    const runs = (tokens: number) => [...tokenBatches(set, tokens)].map((b) => [b.start, b.stop]);
    expect(runs(1000)).toEqual([[0, 6]]);
    expect(runs(7)).toEqual([
      [0, 2],
      [2, 4],
      [4, 6],
    ]);
    expect(runs(1)).toEqual([0, 1, 2, 3, 4, 5].map((i) => [i, i + 1]));
  });

  test("an item without prompt or answer is an error that names it", () => {
    const without = (part: "promptIds" | "answerIds") => () =>
      answersOf([{ id: "q7", line: 8, promptIds: [1], answerIds: [2], [part]: [] }]);
    expect(without("answerIds")).toThrow("item q7 (line 8) has no answer token");
    expect(without("promptIds")).toThrow("item q7 (line 8) has no prompt token");
    expect(() => answersOf([])).toThrow("there are no items");
  });
});
