// Byte-pair encoding: characters, joined pair by pair in the order of the merges. A heap holds the
// pairs that can be joined, so that a word of n characters takes O(n log n) steps.

import { PairTable } from "./pair-table.ts";
import type { Part } from "./part.ts";
import { byteTokenIds, byteTokensOf, type TokenModel, Tokens } from "./token-model.ts";
import { readVocabulary } from "./vocabulary.ts";

/** Words are remembered up to this length and this many. */
const longestKept = 64;
const mostKept = 30_000;

const none = -1;
const removed = -2;

export class Bpe implements TokenModel {
  readonly type = "BPE";
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly #merges: PairTable;
  readonly #unknown: number | undefined;
  readonly #fuseUnknown: boolean;
  readonly #byteIds: Int32Array | undefined;
  readonly #prefix: string;
  readonly #suffix: string;
  readonly #wholeWords: boolean;
  readonly #kept = new Map<string, Tokens>();

  constructor(part: Part) {
    this.vocabulary = readVocabulary(part.get("vocab"));
    this.#prefix = part.get("continuing_subword_prefix").string("");
    this.#suffix = part.get("end_of_word_suffix").string("");
    this.#fuseUnknown = part.get("fuse_unk").boolean(false);
    this.#wholeWords = part.get("ignore_merges").boolean(false);
    const bytes = part.get("byte_fallback").boolean(false);
    this.#byteIds = bytes ? byteTokenIds(this.vocabulary) : undefined;
    this.#merges = readMerges(part.get("merges"), this.vocabulary, this.#prefix.length);
    const unknown = part.get("unk_token");
    this.#unknown = unknown.missing ? undefined : this.vocabulary.get(unknown.string());
    if (!unknown.missing && this.#unknown === undefined) {
      unknown.fail(`${JSON.stringify(unknown.value)} is not in the vocabulary`);
    }
    const dropout = part.get("dropout");
    if (!dropout.missing && dropout.number() > 0) {
      dropout.fail(`${dropout.value} makes random tokens; set it to null`);
    }
  }

  tokenize(text: string): Tokens {
    const known = this.#kept.get(text);
    if (known) return known;
    const tokens = this.#tokenize(text);
    if (text.length <= longestKept) {
      if (this.#kept.size >= mostKept) this.#kept.clear();
      this.#kept.set(text, tokens);
    }
    return tokens;
  }

  #tokenize(text: string): Tokens {
    const tokens = new Tokens();
    const whole = this.#wholeWords ? this.vocabulary.get(text) : undefined;
    if (whole === undefined) this.#join(this.#characters(text, tokens), tokens);
    else tokens.add(whole, 0, text.length);
    return tokens;
  }

  /** The tokens of single characters; what is unknown is noted in `noted`. */
  #characters(text: string, noted: Tokens): Tokens {
    const symbols = new Tokens();
    // Unknown characters wait here until a known one follows.
    let waiting: { start: number; stop: number } | undefined;
    const flush = () => {
      if (waiting && this.#unknown !== undefined) {
        symbols.add(this.#unknown, waiting.start, waiting.stop);
      }
      waiting = undefined;
    };
    for (let start = 0; start < text.length; ) {
      const unit = text.charCodeAt(start);
      const stop = start + (unit >= 0xd800 && unit <= 0xdbff ? 2 : 1);
      const written = this.#written(text.slice(start, stop), start === 0, stop >= text.length);
      const id = this.vocabulary.get(written);
      const bytes =
        id === undefined && this.#byteIds ? byteTokensOf(written, this.#byteIds) : undefined;
      if (id !== undefined) {
        flush();
        symbols.add(id, start, stop);
      } else if (bytes) {
        // The reference leaves an unknown character waiting here.
        for (const byte of bytes) symbols.add(byte, start, stop);
      } else {
        noted.unknown.push({ start, stop, dropped: this.#unknown === undefined });
        if (this.#fuseUnknown && waiting) {
          waiting.stop = stop;
        } else {
          flush();
          waiting = { start, stop };
        }
      }
      start = stop;
    }
    flush();
    return symbols;
  }

  #written(character: string, first: boolean, last: boolean): string {
    const begun = first ? character : this.#prefix + character;
    return last ? begun + this.#suffix : begun;
  }

  #join({ ids, starts, stops }: Tokens, into: Tokens): void {
    const n = ids.length;
    const before = Int32Array.from(ids, (_, i) => i - 1);
    const after = Int32Array.from(ids, (_, i) => (i + 1 < n ? i + 1 : none));
    const heap = new MergeHeap();
    const offer = (left: number, right: number) => {
      const slot = this.#merges.find(ids[left] as number, ids[right] as number);
      if (slot >= 0) heap.push(this.#merges.rank(slot), left, this.#merges.result(slot));
    };
    for (let i = 0; i + 1 < n; ++i) offer(i, i + 1);
    while (heap.pop()) {
      const at = heap.at;
      const next = after[at] as number;
      // The pair may be gone by now, or be another one.
      if (next < 0) continue;
      const slot = this.#merges.find(ids[at] as number, ids[next] as number);
      if (slot < 0 || this.#merges.result(slot) !== heap.result) continue;
      ids[at] = heap.result;
      stops[at] = stops[next] as number;
      const beyond = after[next] as number;
      after[at] = beyond;
      after[next] = removed;
      if (beyond >= 0) before[beyond] = at;
      const previous = before[at] as number;
      if (previous >= 0) offer(previous, at);
      if (beyond >= 0) offer(at, beyond);
    }
    for (let i = 0; i < n; ++i) {
      if (after[i] === removed) continue;
      into.add(ids[i] as number, starts[i] as number, stops[i] as number);
    }
  }
}

/** Joins by rank, then from left to right. */
class MergeHeap {
  /** The join that pop() has taken. */
  at = 0;
  result = 0;
  readonly #keys: number[] = [];
  readonly #results: number[] = [];

  push(rank: number, at: number, result: number): void {
    const key = rank * places + at;
    let i = this.#keys.length;
    this.#keys.push(key);
    this.#results.push(result);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if ((this.#keys[parent] as number) <= key) break;
      this.#move(parent, i);
      i = parent;
    }
    this.#keys[i] = key;
    this.#results[i] = result;
  }

  pop(): boolean {
    const top = this.#keys[0];
    const key = this.#keys.pop();
    if (top === undefined || key === undefined) return false;
    const result = this.#results[0] as number;
    this.at = top % places;
    this.result = result;
    const last = this.#results.pop() as number;
    const n = this.#keys.length;
    if (n === 0) return true;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= n) break;
      if (child + 1 < n && (this.#keys[child + 1] as number) < (this.#keys[child] as number)) {
        ++child;
      }
      if ((this.#keys[child] as number) >= key) break;
      this.#move(child, i);
      i = child;
    }
    this.#keys[i] = key;
    this.#results[i] = last;
    return true;
  }

  #move(from: number, to: number): void {
    this.#keys[to] = this.#keys[from] as number;
    this.#results[to] = this.#results[from] as number;
  }
}

/** Ranks stay below 2^22, so that rank and place fit the 53 bits of a number. */
const places = 2 ** 31;
const mostMerges = 2 ** 22;

/** Merges as "a b" or ["a", "b"]; later ones win over the same pair before. */
function readMerges(
  part: Part,
  vocabulary: ReadonlyMap<string, number>,
  prefixLength: number,
): PairTable {
  const { value } = part;
  if (!Array.isArray(value)) return part.fail("is no list of merges");
  if (value.length >= mostMerges)
    return part.fail(`has ${value.length} merges, more than possible`);
  const table = new PairTable(value.length);
  for (const [rank, merge] of value.entries()) {
    const pair: unknown[] = typeof merge === "string" ? merge.split(" ") : merge;
    const [left, right] = Array.isArray(pair) && pair.length === 2 ? pair : [];
    if (typeof left !== "string" || typeof right !== "string") {
      return part.fail(`merge ${rank} is ${JSON.stringify(merge)}, expected two tokens`);
    }
    const joined = left + right.slice(prefixLength);
    const [a, b, result] = [left, right, joined].map((token) => vocabulary.get(token));
    if (a === undefined || b === undefined || result === undefined) {
      const absent = [left, right, joined].find((token) => !vocabulary.has(token));
      return part.fail(
        `merge ${rank} (${JSON.stringify(merge)}) needs ${JSON.stringify(absent)}, which is not in the vocabulary`,
      );
    }
    table.set(a, b, rank, result);
  }
  return table;
}
