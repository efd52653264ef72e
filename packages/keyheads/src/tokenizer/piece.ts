// Text on its way through the tokenizer: what it has become, and which characters of the input each
// of its UTF-16 units came from. Where nobody asks for spans, no origins are kept.

export interface Piece {
  readonly text: string;
  /** Of every unit, the span [start, stop) of the input; only if spans are wanted. */
  readonly origins: Origins | undefined;
  /** Whether it begins where the input begins; with changes, only origins can tell. */
  readonly first: boolean;
}

interface Origins {
  readonly starts: Int32Array;
  readonly stops: Int32Array;
}

/** Replaces [start, stop) of a text; an empty range inserts. */
export interface Change {
  readonly start: number;
  readonly stop: number;
  readonly text: string;
}

/** The input itself; `trace` keeps origins, with whole characters for both halves of a pair. */
export function wholeInput(text: string, trace: boolean): Piece {
  if (!trace) return { text, origins: undefined, first: true };
  const starts = Int32Array.from({ length: text.length }, (_, i) => i);
  const stops = starts.map((i) => i + 1);
  for (let i = 1; i < text.length; ++i) {
    if (!isLowSurrogate(text.charCodeAt(i))) continue;
    starts[i] = i - 1;
    stops[i - 1] = i + 1;
  }
  return { text, origins: { starts, stops }, first: true };
}

/** Units [start, stop) of a piece. */
export function cut(piece: Piece, start: number, stop: number): Piece {
  const { text, origins, first } = piece;
  if (start === 0 && stop === text.length && !origins) return piece;
  return {
    text: text.slice(start, stop),
    origins: origins && {
      starts: origins.starts.subarray(start, stop),
      stops: origins.stops.subarray(start, stop),
    },
    first: origins ? origins.starts[start] === 0 : first && start === 0,
  };
}

/** Applies changes, which are in order and do not overlap. */
export function change(piece: Piece, changes: readonly Change[]): Piece {
  if (changes.length === 0) return piece;
  const parts: string[] = [];
  let at = 0;
  for (const { start, stop, text } of changes) {
    if (at < start) parts.push(piece.text.slice(at, start));
    parts.push(text);
    at = stop;
  }
  parts.push(piece.text.slice(at));
  const text = parts.join("");
  const origins = piece.origins && changeOrigins(piece.origins, changes, text.length);
  return { text, origins, first: piece.first };
}

/** The span of the input that units [start, stop) came from; inserted units have none of their own. */
export function spanOf({ starts, stops }: Origins, start: number, stop: number): [number, number] {
  let from = -1;
  let to = -1;
  for (let i = start; i < stop; ++i) {
    const [first, last] = [starts[i] as number, stops[i] as number];
    if (last <= first) continue;
    if (from < 0 || first < from) from = first;
    if (last > to) to = last;
  }
  if (from >= 0) return [from, to];
  const place = starts[start] ?? stops[stops.length - 1] ?? 0;
  return [place, place];
}

export const isLowSurrogate = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff;

function changeOrigins(old: Origins, changes: readonly Change[], length: number): Origins {
  const starts = new Int32Array(length);
  const stops = new Int32Array(length);
  let at = 0;
  let to = 0;
  const copy = (stop: number) => {
    starts.set(old.starts.subarray(at, stop), to);
    stops.set(old.stops.subarray(at, stop), to);
    to += stop - at;
  };
  for (const { start, stop, text } of changes) {
    copy(start);
    const [from, till] = spanOf(
      { starts: old.starts.subarray(0, stop), stops: old.stops.subarray(0, stop) },
      start,
      stop,
    );
    // What is inserted lies between its neighbours.
    const inserted = start === stop;
    const place = inserted ? (old.starts[start] ?? old.stops[start - 1] ?? 0) : from;
    starts.fill(place, to, to + text.length);
    stops.fill(inserted ? place : till, to, to + text.length);
    to += text.length;
    at = stop;
  }
  copy(old.starts.length);
  return { starts, stops };
}
