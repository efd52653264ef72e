import { describe, expect, it } from "vitest";
import { endRows, pack } from "../../packages/keyheads/src/packing.ts";

const limits = { vocab: 10, context: 3 };

describe("pack", () => {
  it("puts ragged sequences one after the other", () => {
    const { tokens, offsets } = pack([[1, 2, 3], Int32Array.of(4), [5, 6]], limits);
    expect([...tokens]).toEqual([1, 2, 3, 4, 5, 6]);
    expect([...offsets]).toEqual([0, 3, 4, 6]);
    expect([...endRows(offsets)]).toEqual([2, 3, 5]);
  });
  it.each([
    [[], /no sequences/],
    [[[1], []], /sequence 1 is empty/],
    [[[1], [1, 2, 3, 4]], /sequence 1 has 4 tokens; the model's context is 3/],
    [
      [
        [1, 2],
        [3, 10],
      ],
      /sequence 1, position 1: token id 10 .* from 0 to 9/,
    ],
    [[[-1]], /token id -1/],
    [[[1.5]], /token id 1.5/],
    [[[Number.NaN]], /token id NaN/],
  ])("refuses %j", (sequences, message) => {
    expect(() => pack(sequences, limits)).toThrow(
      expect.objectContaining({ code: "BAD_ARGUMENT", message: expect.stringMatching(message) }),
    );
  });
});
