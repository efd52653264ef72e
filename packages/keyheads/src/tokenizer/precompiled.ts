// SentencePiece's compiled normalization: a double-array trie (Darts) from a text to its replacement,
// looked up for every grapheme of fewer than six bytes, else for every character of it.
import type { Normalizer } from "./normalizers.ts";
import type { Part } from "./part.ts";
import type { Change } from "./piece.ts";

/** Layout: byte size of the trie (uint32), its units (uint32 each), replacements ended by 0. */
export function readPrecompiled(part: Part): Normalizer {
  if (part.missing || part.value === "") return () => [];
  const bytes = Buffer.from(part.string(), "base64");
  const size = bytes.length < 4 ? -1 : bytes.readUInt32LE(0);
  if (size < 4 || size % 4 !== 0 || size + 4 > bytes.length) {
    return part.fail("is no compiled character map");
  }
  const units = Uint32Array.from({ length: size / 4 }, (_, i) => bytes.readUInt32LE(4 + 4 * i));
  const replacements = bytes.subarray(4 + size);
  const known = new Map<string, string | undefined>();
  const look = (text: string) => {
    if (!known.has(text)) known.set(text, replacementOf(text, units, replacements));
    return known.get(text);
  };
  const graphemes = new Intl.Segmenter("und", { granularity: "grapheme" });
  return (text) => {
    const changes: Change[] = [];
    const note = (start: number, from: string, to: string | undefined) => {
      if (to === undefined) return false;
      if (to !== from) changes.push({ start, stop: start + from.length, text: to });
      return true;
    };
    for (const { segment, index } of graphemes.segment(text)) {
      if (Buffer.byteLength(segment) < 6 && note(index, segment, look(segment))) continue;
      let at = index;
      for (const character of segment) {
        note(at, character, look(character));
        at += character.length;
      }
    }
    return changes;
  };
}

/** The replacement of the first prefix that the trie has. */
function replacementOf(text: string, units: Uint32Array, replacements: Buffer): string | undefined {
  const unit = (at: number) => units[at] ?? 0;
  const offset = (value: number) => (value >>> 10) << ((value & 0x200) >>> 6);
  let node = offset(unit(0));
  for (const byte of Buffer.from(text)) {
    if (byte === 0) return undefined;
    node ^= byte;
    const value = unit(node);
    // The label of a unit is its low byte, and the sign bit of leaves.
    if ((value & 0x800000ff) !== byte) return undefined;
    node ^= offset(value);
    if ((value & 0x100) === 0) continue;
    const start = unit(node) & 0x7fffffff;
    const stop = replacements.indexOf(0, start);
    return replacements.toString("utf8", start, stop < 0 ? replacements.length : stop);
  }
  return undefined;
}
