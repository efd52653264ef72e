// SentencePiece's unigram model: the cut of a text into tokens with the largest sum of scores, found
// from left to right. Kudo 2018, arXiv:1804.10959.
import type { Part } from "./part.ts";
import { byteTokenIds, byteTokensOf, type TokenModel, Tokens } from "./token-model.ts";

/** How much worse than the worst token an unknown character is. */
const unknownPenalty = 10;

interface Node {
  readonly next: Map<number, Node>;
  id: number;
}

export class Unigram implements TokenModel {
  readonly type = "Unigram";
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly #scores: Float64Array;
  readonly #root: Node = { next: new Map(), id: -1 };
  readonly #unknown: number | undefined;
  readonly #unknownScore: number;
  readonly #byteIds: Int32Array | undefined;

  constructor(part: Part) {
    const entries = readScores(part.get("vocab"));
    const vocabulary = new Map(entries.map(([token], id) => [token, id]));
    this.#scores = Float64Array.from(entries, ([, score]) => score);
    const worst = this.#scores.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
    this.vocabulary = vocabulary;
    for (const [token, id] of vocabulary) this.#insert(token, id);
    this.#unknownScore = worst - unknownPenalty;
    const unknown = part.get("unk_id");
    if (!unknown.missing && unknown.count() >= entries.length) {
      unknown.fail(`${unknown.value} is beyond the ${entries.length} tokens of the vocabulary`);
    }
    this.#unknown = unknown.missing ? undefined : unknown.count();
    const bytes = part.get("byte_fallback").boolean(false);
    this.#byteIds = bytes ? byteTokenIds(vocabulary) : undefined;
  }

  #insert(token: string, id: number): void {
    let node = this.#root;
    for (let i = 0; i < token.length; ++i) {
      const unit = token.charCodeAt(i);
      const next: Node = node.next.get(unit) ?? { next: new Map(), id: -1 };
      node.next.set(unit, next);
      node = next;
    }
    node.id = id;
  }

  tokenize(text: string): Tokens {
    const tokens = new Tokens();
    const { from, ids } = this.#bestCut(text);
    const places: number[] = [];
    for (let stop = text.length; stop > 0; stop = from[stop] as number) places.push(stop);
    // Unknown characters in a row are one token.
    let unknownFrom = -1;
    const flush = (stop: number) => {
      if (unknownFrom >= 0) this.#addUnknown(text, unknownFrom, stop, tokens);
      unknownFrom = -1;
    };
    for (const stop of places.reverse()) {
      const start = from[stop] as number;
      const id = ids[stop] as number;
      if (id === -1 || id === this.#unknown) {
        if (unknownFrom < 0) unknownFrom = start;
        continue;
      }
      flush(start);
      tokens.add(id, start, stop);
    }
    flush(text.length);
    return tokens;
  }

  /** Where the last token of the best cut of text[0, i) begins, and its id. */
  #bestCut(text: string): { from: Int32Array; ids: Int32Array } {
    const from = new Int32Array(text.length + 1).fill(-1);
    const ids = new Int32Array(text.length + 1).fill(-1);
    const best = new Float64Array(text.length + 1);
    const offer = (start: number, stop: number, id: number, score: number) => {
      const sum = score + (best[start] as number);
      if (from[stop] !== -1 && sum <= (best[stop] as number)) return;
      best[stop] = sum;
      from[stop] = start;
      ids[stop] = id;
    };
    for (let start = 0; start < text.length; ) {
      const unit = text.charCodeAt(start);
      const after = start + (unit >= 0xd800 && unit <= 0xdbff ? 2 : 1);
      let single = false;
      let node = this.#root.next.get(unit);
      for (let stop = start + 1; node; ++stop) {
        if (node.id >= 0) {
          offer(start, stop, node.id, this.#scores[node.id] as number);
          if (stop === after) single = true;
        }
        if (stop >= text.length) break;
        node = node.next.get(text.charCodeAt(stop));
      }
      if (!single) offer(start, after, -1, this.#unknownScore);
      start = after;
    }
    return { from, ids };
  }

  #addUnknown(text: string, start: number, stop: number, tokens: Tokens): void {
    const unknown = text.slice(start, stop);
    const known = this.vocabulary.get(unknown);
    if (known !== undefined) {
      tokens.add(known, start, stop);
      return;
    }
    const bytes = this.#byteIds && byteTokensOf(unknown, this.#byteIds);
    if (!bytes) tokens.addUnknown(this.#unknown, start, stop);
    else for (const id of bytes) tokens.add(id, start, stop);
  }
}

/** `[token, score]` of every id. */
function readScores(part: Part): [string, number][] {
  return part.list().map((entry) => {
    const [token, score] = entry.list();
    return token && score
      ? [token.string(), score.number()]
      : entry.fail("expected [token, score]");
  });
}
