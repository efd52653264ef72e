// The parts that circuits are put together from: what a head looks for, what it moves, and MLPs that
// look a result up.
import { constant, type Register, type Role, type Stream } from "./weights.ts";

export interface Place {
  readonly layer: number;
  readonly head: number;
}

/** What END, or any query that `from` names, looks for. */
export type Look =
  /** Keys of a role, with a score of `strength`; with `from`, queries of that role only. */
  | { readonly role: Role; readonly strength: number; readonly from?: Role }
  /** Keys whose register holds the symbol that the query's register holds. */
  | { readonly match: readonly [query: Register, key: Register]; readonly strength: number }
  /** Keys of the role that the symbol in the query's register stands for. */
  | { readonly choose: Register; readonly among: readonly Role[]; readonly strength: number }
  /** The key one position back. */
  | { readonly previous: true; readonly strength: number };

/** Dimensions of a head that do not turn with the position: all but the first of each half. */
function still(stream: Stream, i: number): number {
  const half = stream.dHead / 2;
  return i < half - 1 ? i + 1 : i + 2;
}

class HeadWriter {
  readonly #stream: Stream;
  readonly #place: Place;
  readonly #group: number;

  constructor(stream: Stream, place: Place) {
    this.#stream = stream;
    this.#place = place;
    const { heads, kvHeads } = stream.sizes;
    this.#group = Math.floor(place.head / (heads / kvHeads));
  }

  #name = (part: string) => `model.layers.${this.#place.layer}.self_attn.${part}_proj.weight`;
  q = (dim: number, from: number, value: number) =>
    this.#stream.set(
      this.#name("q"),
      this.#place.head * this.#stream.dHead + dim,
      from,
      value * Math.sqrt(this.#stream.dHead),
    );
  k = (dim: number, from: number, value: number) =>
    this.#stream.set(this.#name("k"), this.#group * this.#stream.dHead + dim, from, value);
  v = (dim: number, from: number, value: number) =>
    this.#stream.set(this.#name("v"), this.#group * this.#stream.dHead + dim, from, value);
  o = (to: number, dim: number, value: number) =>
    this.#stream.set(this.#name("o"), to, this.#place.head * this.#stream.dHead + dim, value);
}

/** How much a head without anything to look for prefers the first token, which holds nothing. */
const resting = 5;

/** Makes a head attend. Scores are those of the softmax. */
export function attend(stream: Stream, place: Place, look: Look): void {
  const head = new HeadWriter(stream, place);
  const dim = (i: number) => still(stream, i);
  const { symbols } = stream.sizes;
  const one = 1 / constant;
  if ("previous" in look) {
    // q turned back by one position meets k where it is one position on: cos(distance - 1).
    const half = stream.dHead / 2;
    head.q(0, stream.constantAt, look.strength * Math.cos(1) * one);
    head.q(half, stream.constantAt, -look.strength * Math.sin(1) * one);
    head.k(0, stream.constantAt, one);
    return;
  }
  const rest = dim(symbols);
  head.q(rest, stream.constantAt, resting * one);
  head.k(rest, stream.roleAt("bos"), 1);
  if ("role" in look) {
    const from = look.from ? stream.roleAt(look.from) : stream.constantAt;
    head.q(dim(0), from, look.strength * (look.from ? 1 : one));
    head.k(dim(0), stream.roleAt(look.role), 1);
  } else if ("match" in look) {
    for (let s = 0; s < symbols; ++s) {
      head.q(dim(s), stream.registerAt(look.match[0], s), look.strength);
      head.k(dim(s), stream.registerAt(look.match[1], s), 1);
    }
  } else {
    look.among.forEach((role, s) => {
      head.q(dim(s), stream.registerAt(look.choose, s), look.strength);
      head.k(dim(s), stream.roleAt(role), 1);
    });
  }
}

/** What a head looks for, it looks for no longer where the flag of the query is up. */
export function hushByFlag(stream: Stream, place: Place, strength: number): void {
  new HeadWriter(stream, place).q(still(stream, 0), stream.flagAt, -strength);
}

/** Moves the symbol in a register of the key to a register of the query, `gain` times. */
export function move(
  stream: Stream,
  place: Place,
  from: Register,
  to: Readonly<Partial<Record<Register, number>>>,
): void {
  const head = new HeadWriter(stream, place);
  for (let s = 0; s < stream.sizes.symbols; ++s) {
    head.v(s, stream.registerAt(from, s), 1);
    for (const [register, gain] of Object.entries(to)) {
      head.o(stream.registerAt(register as Register, s), s, gain);
    }
  }
}

/** Puts the flag up wherever the head moves a symbol. */
export function raiseFlag(stream: Stream, place: Place): void {
  const head = new HeadWriter(stream, place);
  for (let s = 0; s < stream.sizes.symbols; ++s) head.o(stream.flagAt, s, 1);
}

/** How far above its threshold, and below, a neuron is: silu is straight there, or nothing. */
const margin = 10;

/** An MLP that writes the symbol f(x, y) of the symbols in two registers. */
export function lookUp(
  stream: Stream,
  layer: number,
  [x, y]: readonly [Register, Register],
  to: Register,
  f: (x: number, y: number) => number,
): void {
  const { symbols } = stream.sizes;
  const at = `model.layers.${layer}.mlp`;
  for (let i = 0; i < symbols; ++i) {
    for (let j = 0; j < symbols; ++j) {
      const neuron = i * symbols + j;
      stream.set(`${at}.gate_proj.weight`, neuron, stream.registerAt(x, i), 2 * margin);
      stream.set(`${at}.gate_proj.weight`, neuron, stream.registerAt(y, j), 2 * margin);
      stream.set(`${at}.gate_proj.weight`, neuron, stream.constantAt, (-3 * margin) / constant);
      stream.set(`${at}.up_proj.weight`, neuron, stream.constantAt, 1 / constant);
      stream.set(`${at}.down_proj.weight`, stream.registerAt(to, f(i, j)), neuron, 1 / margin);
    }
  }
}
