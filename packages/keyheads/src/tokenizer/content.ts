// The bytes of text that a token stands for, by the conventions of tokenizer.json: byte-level
// alphabets (GPT-2, Llama 3), "▁" for a space and <0x0A> for a byte (SentencePiece), or plain text.
import { bytesOfToken } from "./byte-level.ts";
import { byteOfToken } from "./decoders.ts";
import type { Part } from "./part.ts";

/** Gives UTF-8 bytes, perhaps part of a character. */
export type TokenContent = (token: string) => Uint8Array;

/** Reads the scheme from the decoder of a tokenizer.json. */
export function readTokenContent(decoder: Part): TokenContent {
  const parts = components(decoder);
  const types = parts.map((part) => part.get("type").value);
  if (types.includes("ByteLevel")) return bytesOfToken;
  const encoder = new TextEncoder();
  const fallback = types.includes("ByteFallback");
  const space = parts.map(spaceMark).find((mark) => mark !== undefined);
  return (token) => {
    const byte = fallback ? byteOfToken(token) : undefined;
    if (byte !== undefined) return Uint8Array.of(byte);
    return encoder.encode(space === undefined ? token : token.replaceAll(space, " "));
  };
}

/** A decoder and, if it is a sequence, its parts. */
function components(part: Part): Part[] {
  if (part.missing) return [];
  const inner = part.get("decoders");
  return inner.missing ? [part] : inner.list().flatMap(components);
}

/** What stands for a space, if this decoder turns something into spaces. */
function spaceMark(part: Part): string | undefined {
  const type = part.get("type").value;
  if (type === "Metaspace") return part.get("replacement").string("▁");
  if (type !== "Replace" || part.get("content").value !== " ") return undefined;
  const pattern = part.get("pattern").get("String");
  return pattern.missing ? undefined : pattern.string();
}
