// The pre-tokenizers of tokenizer.json: each cuts pieces of text into smaller ones, and may rewrite
// them. A model never joins what lies in two pieces.
import { byteChanges, byteText } from "./byte-level.ts";
import { replaceAll } from "./normalizers.ts";
import type { Part } from "./part.ts";
import { compilePattern, readPattern } from "./pattern.ts";
import { change, cut, type Piece } from "./piece.ts";
import { punctuation } from "./reference-unicode.ts";

/** Gives the parts of a piece in their order; empty ones are dropped by the caller. */
export type PreTokenizer = (piece: Piece) => Iterable<Piece>;

export function readPreTokenizers(part: Part): PreTokenizer[] {
  if (part.missing) return [];
  return part.pick(readers, "pre-tokenizer")(part);
}

/** Whether a pre-tokenizer treats the beginning of the input in its own way. */
export function asksForStart(part: Part): boolean {
  if (part.missing) return false;
  const inner = part.get("pretokenizers");
  return inner.missing
    ? part.get("prepend_scheme").value === "first"
    : inner.list().some(asksForStart);
}

/** Every part of a piece, after all pre-tokenizers, to `take`. */
export function preTokenize(
  piece: Piece,
  steps: readonly PreTokenizer[],
  take: (piece: Piece) => void,
  from = 0,
): void {
  if (piece.text === "") return;
  const step = steps[from];
  if (!step) {
    take(piece);
    return;
  }
  for (const part of step(piece)) preTokenize(part, steps, take, from + 1);
}

type Behavior = "Removed" | "Isolated" | "Contiguous" | "MergedWithPrevious" | "MergedWithNext";
const behaviors: readonly Behavior[] = [
  "Removed",
  "Isolated",
  "Contiguous",
  "MergedWithPrevious",
  "MergedWithNext",
];

/** The pattern of GPT-2. */
const words = () =>
  compilePattern(
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  );
const spaces = /\p{White_Space}/gu;

const readers: Readonly<Record<string, (part: Part) => PreTokenizer[]>> = {
  Sequence: (part) => part.get("pretokenizers").list().flatMap(readPreTokenizers),
  ByteLevel: byteLevel,
  Metaspace: metaspace,
  Split: (part) => {
    const behavior = readBehavior(part.get("behavior"));
    return [split(readPattern(part.get("pattern")), behavior, part.get("invert").boolean(false))];
  },
  Digits: (part) => {
    const each = part.get("individual_digits").boolean();
    return [split(/\p{N}/gu, each ? "Isolated" : "Contiguous")];
  },
  Punctuation: (part) => [split(punctuation, readBehavior(part.get("behavior"), "Isolated"))],
  Whitespace: () => [
    split(
      /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu,
      "Removed",
      true,
    ),
  ],
  WhitespaceSplit: () => [split(spaces, "Removed")],
  BertPreTokenizer: () => [split(spaces, "Removed"), split(punctuation, "Isolated")],
  CharDelimiterSplit: (part) => [split(readPattern(part.get("delimiter")), "Removed")],
  FixedLength: (part) => {
    const length = part.get("length").count(5);
    return [split(new RegExp(`[\\s\\S]{1,${length}}`, "gv"), "Isolated")];
  },
};

function readBehavior(part: Part, fallback?: Behavior): Behavior {
  const given = typeof part.value === "string" ? part.value.replaceAll("_", "") : undefined;
  const found = behaviors.find((name) => name.toLowerCase() === given?.toLowerCase());
  return found ?? part.oneOf(behaviors, fallback);
}

function byteLevel(part: Part): PreTokenizer[] {
  const steps: PreTokenizer[] = [];
  if (part.get("add_prefix_space").boolean()) {
    steps.push((piece) => [piece.text.startsWith(" ") ? piece : prepend(piece, " ")]);
  }
  if (part.get("use_regex").boolean(true)) steps.push(split(words(), "Isolated"));
  return [...steps, (piece) => [asBytes(piece)]];
}

/** Without origins, the text is enough. */
function asBytes(piece: Piece): Piece {
  return piece.origins
    ? change(piece, byteChanges(piece.text))
    : { ...piece, text: byteText(piece.text) };
}

function metaspace(part: Part): PreTokenizer[] {
  const mark = part.get("replacement").string();
  const older = part.get("add_prefix_space").boolean(true);
  const scheme = part
    .get("prepend_scheme")
    .oneOf(["always", "first", "never"], older ? "always" : "never");
  const each = readPattern(part.get("replacement"));
  const marks = replaceAll(/ /gu, () => mark);
  const rewrite: PreTokenizer = (given) => {
    const piece = change(given, marks(given.text));
    const wanted = scheme === "always" || (scheme === "first" && piece.first);
    return [wanted && !piece.text.startsWith(mark) ? prepend(piece, mark) : piece];
  };
  return part.get("split").boolean(true) ? [rewrite, split(each, "MergedWithNext")] : [rewrite];
}

const prepend = (piece: Piece, text: string) => change(piece, [{ start: 0, stop: 0, text }]);

/** Cuts at the matches of a global pattern; `invert` takes what lies between them for the matches. */
export function split(pattern: RegExp, behavior: Behavior, invert = false): PreTokenizer {
  return function* (piece) {
    for (const { start, stop, match } of arrange(sections(piece.text, pattern, invert), behavior)) {
      if (match && behavior === "Removed") continue;
      yield cut(piece, start, stop);
    }
  };
}

interface Section {
  readonly start: number;
  readonly stop: number;
  readonly match: boolean;
}

/** The whole text as matches and what lies between. */
function* sections(text: string, pattern: RegExp, invert: boolean): Iterable<Section> {
  let at = 0;
  for (const { 0: found, index } of text.matchAll(pattern)) {
    if (at < index) yield { start: at, stop: index, match: invert };
    at = index + found.length;
    // An empty match cuts without taking anything.
    if (found !== "") yield { start: index, stop: at, match: !invert };
  }
  if (at < text.length) yield { start: at, stop: text.length, match: invert };
}

function arrange(given: Iterable<Section>, behavior: Behavior): Iterable<Section> {
  switch (behavior) {
    case "Removed":
    case "Isolated":
      return given;
    case "Contiguous":
      return joinEqual(given);
    case "MergedWithPrevious":
      return joinToLast([...given], (last, next) => ({ ...last, stop: next.stop }));
    case "MergedWithNext":
      return joinToLast([...given].reverse(), (last, next) => ({
        ...last,
        start: next.start,
      })).reverse();
  }
}

function* joinEqual(given: Iterable<Section>): Iterable<Section> {
  let last: Section | undefined;
  for (const next of given) {
    if (last?.match === next.match) {
      last = { ...last, stop: next.stop };
      continue;
    }
    if (last) yield last;
    last = next;
  }
  if (last) yield last;
}

/** Joins a match to the section before it, unless that is a match too. */
function joinToLast(
  given: readonly Section[],
  join: (last: Section, next: Section) => Section,
): Section[] {
  const result: Section[] = [];
  let afterMatch = false;
  for (const next of given) {
    const last = result.at(-1);
    if (next.match && !afterMatch && last) result[result.length - 1] = join(last, next);
    else result.push({ ...next });
    afterMatch = next.match;
  }
  return result;
}
