// The decoders of tokenizer.json: tokens to text, as a chain of lists of strings.
import { bytesOfToken } from "./byte-level.ts";
import type { Part } from "./part.ts";
import { readPattern } from "./pattern.ts";

type Decoder = (tokens: readonly string[]) => readonly string[];

/** From tokens to text; without a decoder, tokens are joined by spaces. */
export function readDecoder(part: Part): (tokens: readonly string[]) => string {
  if (part.missing) return (tokens) => tokens.join(" ");
  const steps = readDecoders(part);
  return (tokens) => steps.reduce((now, step) => step(now), tokens).join("");
}

function readDecoders(part: Part): Decoder[] {
  return part.pick(readers, "decoder")(part);
}

/** Whether tokens may be single bytes, written <0x0A>. */
export function usesByteFallback(part: Part): boolean {
  if (part.missing) return false;
  const inner = part.get("decoders");
  return inner.missing
    ? part.get("type").value === "ByteFallback"
    : inner.list().some(usesByteFallback);
}

const each =
  (change: (token: string, index: number, count: number) => string): Decoder =>
  (tokens) =>
    tokens.map((token, i) => change(token, i, tokens.length));

const readers: Readonly<Record<string, (part: Part) => Decoder[]>> = {
  Sequence: (part) => part.get("decoders").list().flatMap(readDecoders),
  ByteLevel: () => [(tokens) => [lossyText(tokens.map(bytesOfToken))]],
  ByteFallback: () => [byteFallback],
  Fuse: () => [(tokens) => [tokens.join("")]],
  Replace: (part) => {
    const pattern = readPattern(part.get("pattern"));
    const content = part.get("content").string();
    return [each((token) => token.replace(pattern, () => content))];
  },
  Strip: (part) => {
    const content = part.get("content").string();
    const [start, stop] = [part.get("start").count(), part.get("stop").count()];
    return [each((token) => stripped(token, content, start, stop))];
  },
  Metaspace: (part) => {
    const mark = part.get("replacement").string();
    const older = part.get("add_prefix_space").boolean(true);
    const scheme = part
      .get("prepend_scheme")
      .oneOf(["always", "first", "never"], older ? "always" : "never");
    return [each((token, i) => token.replaceAll(mark, i === 0 && scheme !== "never" ? "" : " "))];
  },
  WordPiece: (part) => {
    const prefix = part.get("prefix").string();
    const clean = part.get("cleanup").boolean() ? cleanUpWord : (text: string) => text;
    return [
      each((token, i) => {
        if (i === 0) return clean(token);
        return clean(token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`);
      }),
    ];
  },
  BPEDecoder: (part) => {
    const suffix = part.get("suffix").string();
    return [each((token, i, n) => token.replaceAll(suffix, i === n - 1 ? "" : " "))];
  },
};

/** Bytes as UTF-8; what is not becomes U+FFFD. */
export function lossyText(parts: readonly Uint8Array[]): string {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

const strict = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** Runs of byte tokens become their text, or one U+FFFD a byte if they are no UTF-8. */
function byteFallback(tokens: readonly string[]): string[] {
  const result: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length === 0) return;
    try {
      result.push(strict.decode(Uint8Array.from(bytes)));
    } catch {
      result.push("\ufffd".repeat(bytes.length));
    }
    bytes = [];
  };
  for (const token of tokens) {
    const byte = byteOfToken(token);
    if (byte !== undefined) {
      bytes.push(byte);
      continue;
    }
    flush();
    result.push(token);
  }
  flush();
  return result;
}

/** The byte that `<0x0A>` names. */
export function byteOfToken(token: string): number | undefined {
  const digits = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

function stripped(token: string, content: string, most: number, mostAtEnd: number): string {
  let start = 0;
  for (let i = 0; i < most && token.startsWith(content, start); ++i) start += content.length;
  let stop = token.length;
  for (let i = 0; i < mostAtEnd && stop > start; ++i) {
    if (token.slice(stop - content.length, stop) !== content) break;
    stop -= content.length;
  }
  return token.slice(start, stop);
}

/** Takes out spaces that tokenizers for words put before punctuation. */
export function cleanUp(text: string): string {
  return tidied(text, (now) => now);
}

function cleanUpWord(text: string): string {
  return tidied(text, (now) => now.replaceAll(" do not", " don't"));
}

/** `also` comes between the steps, as in the reference. */
function tidied(text: string, also: (text: string) => string): string {
  const begun = text
    .replaceAll(" .", ".")
    .replaceAll(" ?", "?")
    .replaceAll(" !", "!")
    .replaceAll(" ,", ",")
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m");
  return also(begun).replaceAll(" 's", "'s").replaceAll(" 've", "'ve").replaceAll(" 're", "'re");
}
