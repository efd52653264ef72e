// What the models of tokenizer.json have in common: they make tokens of one piece of text.

export interface Unknown {
  readonly start: number;
  readonly stop: number;
  /** No token stands for it. */
  readonly dropped: boolean;
}

/** Tokens of a piece, in order; starts and stops are UTF-16 units of the piece. */
export class Tokens {
  readonly ids: number[] = [];
  readonly starts: number[] = [];
  readonly stops: number[] = [];
  /** Units that the vocabulary cannot spell: the unknown token stands there, or nothing. */
  readonly unknown: Unknown[] = [];

  add(id: number, start: number, stop: number): void {
    this.ids.push(id);
    this.starts.push(start);
    this.stops.push(stop);
  }

  addUnknown(id: number | undefined, start: number, stop: number): void {
    this.unknown.push({ start, stop, dropped: id === undefined });
    if (id !== undefined) this.add(id, start, stop);
  }
}

export interface TokenModel {
  readonly type: "BPE" | "Unigram" | "WordPiece" | "WordLevel";
  readonly vocabulary: ReadonlyMap<string, number>;
  /** Every id as text; later entries win where a file has an id twice. */
  tokenize(text: string): Tokens;
}

/** Ids of <0x00> to <0xFF>; -1 where the vocabulary lacks one. */
export function byteTokenIds(vocabulary: ReadonlyMap<string, number>): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) => {
    const digits = byte.toString(16).toUpperCase().padStart(2, "0");
    return vocabulary.get(`<0x${digits}>`) ?? -1;
  });
}

const encoder = new TextEncoder();

/** One token for every byte of the text; undefined if one of them is missing. */
export function byteTokensOf(text: string, byteIds: Int32Array): number[] | undefined {
  const ids = Array.from(encoder.encode(text), (byte) => byteIds[byte] as number);
  return ids.includes(-1) ? undefined : ids;
}
