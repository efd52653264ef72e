import { describe, expect, it } from "vitest";
import { align } from "../../packages/keyheads/src/tokenizer/align.ts";

const bytes = (...tokens: string[]) => tokens.map((token) => new TextEncoder().encode(token));

describe("align", () => {
  it("follows tokens that spell the text", () => {
    expect(align("12 + 3", bytes("12", " +", " 3"))).toEqual([
      [0, 2],
      [2, 4],
      [4, 6],
    ]);
  });
  it("lets a space be put before the text", () => {
    expect(align("ab", bytes(" a", "b"))).toEqual([
      [0, 1],
      [1, 2],
    ]);
    expect(align(" a", bytes(" ", " a"))).toEqual([
      [0, 0],
      [0, 2],
    ]);
  });
  it("skips white space that no token has", () => {
    expect(align("a \n b ", bytes("a", "b"))).toEqual([
      [0, 1],
      [4, 5],
    ]);
  });
  it("gives part of a character the whole of it, in UTF-16 units", () => {
    const [first, second] = [Uint8Array.of(0xf0, 0x9f), Uint8Array.of(0x98, 0x80)];
    expect(align("a😀b", [...bytes("a"), first, second, ...bytes("b")])).toEqual([
      [0, 1],
      [1, 3],
      [1, 3],
      [3, 4],
    ]);
  });
  it("refuses tokens that spell something else, less, or more", () => {
    expect(align("abc", bytes("a", "x", "c"))).toBeUndefined();
    expect(align("abc", bytes("a", "b"))).toBeUndefined();
    expect(align("abc", bytes("abc", "d"))).toBeUndefined();
  });
});
