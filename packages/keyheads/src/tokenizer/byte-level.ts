// The byte-level alphabet of GPT-2: every byte is written as one printable character.
import type { Change } from "./piece.ts";

/** GPT-2's bytes_to_unicode: printable bytes are themselves, the others follow from U+0100 on. */
export const byteAlphabet: readonly string[] = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : next++);
  });
})();

/** Of every character of the alphabet, by its code, the byte; -1 for other characters. */
const byteOf = new Int16Array(512).fill(-1);
for (const [byte, character] of byteAlphabet.entries()) byteOf[character.charCodeAt(0)] = byte;

const encoder = new TextEncoder();

/** Every character that is not its own byte becomes the characters of its UTF-8 bytes. */
export function byteChanges(text: string): Change[] {
  const changes: Change[] = [];
  for (let i = 0; i < text.length; ++i) {
    const unit = text.charCodeAt(i);
    if (unit >= 0x21 && unit <= 0x7e) continue;
    const stop = unit >= 0xd800 && unit <= 0xdbff ? i + 2 : i + 1;
    changes.push({ start: i, stop, text: byteCharacters(text.slice(i, stop)) });
    i = stop - 1;
  }
  return changes;
}

function byteCharacters(character: string): string {
  if (character === " ") return "Ġ";
  let written = "";
  for (const byte of encoder.encode(character)) written += byteAlphabet[byte];
  return written;
}

/** A text as its UTF-8 bytes in the alphabet. */
export function byteText(text: string): string {
  return text.replace(/[^!-~]/gu, byteCharacters);
}

/** The bytes that a token stands for; one that is not written in the alphabet is plain text. */
export function bytesOfToken(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; ++i) {
    const byte = byteOf[token.charCodeAt(i)] ?? -1;
    if (byte < 0) return encoder.encode(token);
    bytes[i] = byte;
  }
  return bytes;
}
