// Which characters of a text each token came from. Tokens are matched byte by byte with the text,
// tolerating only what tokenizers do to white space: a space put before the text, spaces left out.

export type Span = [start: number, stop: number];

/**
 * Spans [start, stop) in UTF-16 units of `text`, one for each token's bytes; undefined where the
 * tokens do not spell the text. A token that is part of a character gets the whole character.
 */
export function align(text: string, tokens: readonly Uint8Array[]): Span[] | undefined {
  const source = new TextEncoder().encode(text);
  const characters = characterOfByte(text, source.length);
  const exact = spaceBefore(source, tokens);
  const spans: Span[] = [];
  let at = 0;
  for (const [index, token] of tokens.entries()) {
    const start = at;
    let first = -1;
    for (const [k, byte] of token.entries()) {
      const added = k === 0 && byte === space && (index === 0 ? exact : source[at] !== space);
      if (added) continue;
      while (source[at] !== byte && isSpace(source[at])) ++at;
      if (source[at] !== byte) return undefined;
      if (first < 0) first = at;
      ++at;
    }
    spans.push(toSpan(first < 0 ? start : first, first < 0 ? start : at, characters));
  }
  while (isSpace(source[at])) ++at;
  return at === source.length ? spans : undefined;
}

const space = 0x20;
const isSpace = (byte: number | undefined) =>
  byte === space || (byte !== undefined && byte >= 0x09 && byte <= 0x0d);

/** Whether the first token begins with a space that is not in the text. */
function spaceBefore(source: Uint8Array, tokens: readonly Uint8Array[]): boolean {
  const length = tokens.reduce((sum, token) => sum + token.length, 0);
  return tokens[0]?.[0] === space && (source[0] !== space || length === source.length + 1);
}

/** For every byte, and the end, the UTF-16 index of the character that it belongs to. */
function characterOfByte(text: string, bytes: number): Int32Array {
  const index = new Int32Array(bytes + 1);
  let byte = 0;
  let unit = 0;
  for (const character of text) {
    const point = character.codePointAt(0) as number;
    const width = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    index.fill(unit, byte, byte + width);
    byte += width;
    unit += character.length;
  }
  index[byte] = unit;
  return index;
}

function toSpan(from: number, to: number, characters: Int32Array): Span {
  const start = characters[from] as number;
  if (to === from) return [start, start];
  let end = to;
  while (end < characters.length - 1 && characters[end] === characters[end - 1]) ++end;
  return [start, characters[end] as number];
}
