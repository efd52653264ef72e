// The normalizers of tokenizer.json. Each gives the changes that it makes to a text, from which both
// the new text and the origins of its characters follow.
import { byteChanges } from "./byte-level.ts";
import type { Part } from "./part.ts";
import { readPattern } from "./pattern.ts";
import { type Change, change, isLowSurrogate, type Piece } from "./piece.ts";
import { readPrecompiled } from "./precompiled.ts";
import { inertRuns, marks, nonspacingMarks } from "./reference-unicode.ts";

export type Normalizer = (text: string) => readonly Change[];

/** All normalizers of a tokenizer in their order. */
export function readNormalizers(part: Part): Normalizer[] {
  if (part.missing) return [];
  return part.pick(readers, "normalizer")(part);
}

export function normalize(piece: Piece, normalizers: readonly Normalizer[]): Piece {
  return normalizers.reduce((now, normalizer) => change(now, normalizer(now.text)), piece);
}

const readers: Readonly<Record<string, (part: Part) => Normalizer[]>> = {
  Sequence: (part) => part.get("normalizers").list().flatMap(readNormalizers),
  NFC: () => [unicodeForm("NFC")],
  NFD: () => [unicodeForm("NFD")],
  NFKC: () => [unicodeForm("NFKC")],
  NFKD: () => [unicodeForm("NFKD")],
  Lowercase: () => [lowercase],
  StripAccents: () => [replaceAll(marks, () => "")],
  ByteLevel: () => [byteChanges],
  Precompiled: (part) => [readPrecompiled(part.get("precompiled_charsmap"))],
  Replace: (part) => {
    const content = part.get("content").string();
    return [replaceAll(readPattern(part.get("pattern")), () => content)];
  },
  Prepend: (part) => {
    const text = part.get("prepend").string();
    return [(now) => (now === "" ? [] : [{ start: 0, stop: 0, text }])];
  },
  Strip: (part) => {
    const left = part.get("strip_left").boolean();
    const right = part.get("strip_right").boolean();
    return [(text) => stripChanges(text, left, right)];
  },
  Nmt: () => [replaceAll(/[\p{Cc}\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/gu, nmt)],
  BertNormalizer: bert,
};

/** The control characters \0 and U+0080 to U+009E stay, but for U+008F. */
function nmt(character: string): string {
  const code = character.charCodeAt(0);
  if (code > 0x9f || "\t\n\f\r".includes(character)) return " ";
  const kept = code === 0 || (code >= 0x80 && code <= 0x9e && code !== 0x8f);
  return kept ? character : "";
}

function bert(part: Part): Normalizer[] {
  const lower = part.get("lowercase").boolean();
  const accents = part.get("strip_accents");
  const steps: Normalizer[] = [];
  if (part.get("clean_text").boolean()) {
    steps.push(replaceAll(/[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/gu, () => ""));
    steps.push(replaceAll(/(?! )\p{White_Space}/gu, () => " "));
  }
  if (part.get("handle_chinese_chars").boolean()) steps.push(spaceAround);
  if (accents.boolean(lower)) {
    steps.push(
      unicodeForm("NFD"),
      replaceAll(nonspacingMarks, () => ""),
    );
  }
  if (lower) steps.push(lowercase);
  return steps;
}

const cjk =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

function spaceAround(text: string): Change[] {
  return Array.from(text.matchAll(cjk), ({ 0: character, index }) => [
    { start: index, stop: index, text: " " },
    { start: index + character.length, stop: index + character.length, text: " " },
  ]).flat();
}

export function replaceAll(pattern: RegExp, to: (found: string) => string): Normalizer {
  return (text) => {
    const changes: Change[] = [];
    for (const { 0: found, index } of text.matchAll(pattern)) {
      if (found === "") continue;
      changes.push({ start: index, stop: index + found.length, text: to(found) });
    }
    return changes;
  };
}

/** Character by character: a capital sigma at the end of a word becomes σ, as in the reference. */
const lowercase = replaceAll(/\p{Changes_When_Lowercased}/gu, (letter) => letter.toLowerCase());

/**
 * Runs that normalize without their neighbours: a character and all that may combine with what
 * stands before it (marks, vowels and finals of Hangul, and characters that turn into these).
 */
const cluster = /[\s\S][\p{M}\u1160-\u11ff\u3131-\u318e\uff9e\uff9f\uffa0-\uffdc]*/gu;

function unicodeForm(form: "NFC" | "NFD" | "NFKC" | "NFKD"): Normalizer {
  return (text) => {
    if (text.normalize(form) === text) return [];
    const changes: Change[] = [];
    let at = 0;
    for (const part of text.split(inertRuns)) {
      // Skips what lies between the parts, which stays as it is.
      at = text.indexOf(part, at);
      for (const { 0: run, index } of part.matchAll(cluster)) {
        const normal = run.normalize(form);
        if (normal === run) continue;
        changes.push(difference(at + index, run, normal));
      }
      at += part.length;
    }
    return changes;
  };
}

/** The part of a text that differs, without what both begin and end with. */
function difference(at: number, from: string, to: string): Change {
  const shorter = Math.min(from.length, to.length);
  let start = 0;
  while (start < shorter && from[start] === to[start]) ++start;
  if (isLowSurrogate(from.charCodeAt(start)) || isLowSurrogate(to.charCodeAt(start))) --start;
  let end = 0;
  while (end < shorter - start && from.at(-1 - end) === to.at(-1 - end)) ++end;
  if (isLowSurrogate(from.charCodeAt(from.length - end))) --end;
  return {
    start: at + start,
    stop: at + from.length - end,
    text: to.slice(start, to.length - end),
  };
}

const isSpace = (character: string | undefined) =>
  character !== undefined && /\p{White_Space}/u.test(character);

export function stripChanges(text: string, left: boolean, right: boolean): Change[] {
  let start = 0;
  let stop = text.length;
  while (left && isSpace(text[start])) ++start;
  while (right && stop > start && isSpace(text[stop - 1])) --stop;
  return [
    ...(start > 0 ? [{ start: 0, stop: start, text: "" }] : []),
    ...(stop < text.length ? [{ start: stop, stop: text.length, text: "" }] : []),
  ];
}
