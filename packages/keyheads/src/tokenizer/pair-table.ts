// A hash table from two ids to a merge, in flat arrays: large vocabularies have hundreds of thousands.

export class PairTable {
  readonly #mask: number;
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly #ranks: Int32Array;
  readonly #results: Int32Array;

  constructor(capacity: number) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(4, 2 * capacity)));
    this.#mask = size - 1;
    this.#left = new Int32Array(size).fill(-1);
    this.#right = new Int32Array(size);
    this.#ranks = new Int32Array(size);
    this.#results = new Int32Array(size);
  }

  set(left: number, right: number, rank: number, result: number): void {
    const slot = this.#slot(left, right);
    this.#left[slot] = left;
    this.#right[slot] = right;
    this.#ranks[slot] = rank;
    this.#results[slot] = result;
  }

  /** The slot of a pair, or -1. */
  find(left: number, right: number): number {
    const slot = this.#slot(left, right);
    return this.#left[slot] === -1 ? -1 : slot;
  }

  rank(slot: number): number {
    return this.#ranks[slot] as number;
  }

  result(slot: number): number {
    return this.#results[slot] as number;
  }

  /** Where the pair is, or would be. */
  #slot(left: number, right: number): number {
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & this.#mask;
    while (this.#left[slot] !== -1 && (this.#left[slot] !== left || this.#right[slot] !== right)) {
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }
}
