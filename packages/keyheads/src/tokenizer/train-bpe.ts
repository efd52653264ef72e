// Training of a byte-pair encoding (Sennrich et al., ACL 2016): the most frequent pair of
// neighbouring symbols becomes a symbol, again and again. The same words give the same merges.

/** Left and right symbol of every merge, in their order. */
export type Merge = readonly [left: string, right: string];

interface Word {
  symbols: string[];
  readonly count: number;
}

interface Pair {
  readonly left: string;
  readonly right: string;
  count: number;
  /** Words that hold it, or did. */
  readonly words: Set<Word>;
}

/**
 * Learns at most `merges` merges from words and how often each occurs; fewer where no pair occurs
 * `least` times. Among equally frequent pairs the first in code-unit order wins.
 */
export function trainBpe(
  counts: ReadonlyMap<string, number>,
  options: { readonly merges: number; readonly least?: number },
): Merge[] {
  const { merges, least = 2 } = options;
  const pairs = new Map<string, Pair>();
  const words = Array.from(counts, ([text, count]): Word => ({ symbols: [...text], count }));
  for (const word of words) countPairs(pairs, word, 1);
  const learned: Merge[] = [];
  while (learned.length < merges) {
    const best = mostFrequent(pairs, least);
    if (!best) break;
    learned.push([best.left, best.right]);
    for (const word of best.words) {
      countPairs(pairs, word, -1);
      word.symbols = join(word.symbols, best);
      countPairs(pairs, word, 1);
    }
  }
  return learned;
}

/** Adds or takes away what a word contributes to the pairs. */
function countPairs(pairs: Map<string, Pair>, word: Word, sign: 1 | -1): void {
  const { symbols, count } = word;
  for (let i = 0; i + 1 < symbols.length; ++i) {
    const [left, right] = [symbols[i] as string, symbols[i + 1] as string];
    const key = `${left} ${right}`;
    let pair = pairs.get(key);
    if (!pair) {
      pair = { left, right, count: 0, words: new Set() };
      pairs.set(key, pair);
    }
    pair.count += sign * count;
    if (sign > 0) pair.words.add(word);
    else if (pair.count === 0) pairs.delete(key);
  }
}

function mostFrequent(pairs: ReadonlyMap<string, Pair>, least: number): Pair | undefined {
  let best: Pair | undefined;
  for (const pair of pairs.values()) {
    if (pair.count < least || (best && pair.count < best.count)) continue;
    if (!best || pair.count > best.count || before(pair, best)) best = pair;
  }
  return best;
}

function before(a: Pair, b: Pair): boolean {
  return a.left === b.left ? a.right < b.right : a.left < b.left;
}

function join(symbols: readonly string[], { left, right }: Pair): string[] {
  const joined: string[] = [];
  for (let i = 0; i < symbols.length; ++i) {
    const symbol = symbols[i] as string;
    if (symbol === left && symbols[i + 1] === right) {
      joined.push(left + right);
      ++i;
    } else {
      joined.push(symbol);
    }
  }
  return joined;
}
