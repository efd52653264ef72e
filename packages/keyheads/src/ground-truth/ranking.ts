// How well scores find what belongs to a circuit.

/**
 * Average precision: the mean, over the members, of the share of members among what ranks as high.
 * Equal scores have no order: it is the expectation over all orders of theirs (McSherry and Najork 2008).
 */
export function averagePrecision(scores: readonly number[], belongs: readonly boolean[]): number {
  let [area, hits, seen] = [0, 0, 0];
  for (const group of descending(scores, belongs)) {
    const found = group.filter(Boolean).length;
    const size = group.length;
    for (let place = 0; place < size && found > 0; ++place) {
      // If a member stands here, so many of the others of the group are expected before it.
      const before = size > 1 ? (place * (found - 1)) / (size - 1) : 0;
      area += ((found / size) * (hits + before + 1)) / (seen + place + 1);
    }
    hits += found;
    seen += size;
  }
  return area / hits;
}

/** Chance that a member of the circuit scores higher than another; a tie counts half. */
export function rocAuc(scores: readonly number[], belongs: readonly boolean[]): number {
  let [above, members, pairs] = [0, 0, 0];
  for (const group of descending(scores, belongs)) {
    const found = group.filter(Boolean).length;
    const others = group.length - found;
    above += others * (members + found / 2);
    pairs += others;
    members += found;
  }
  return above / (members * pairs);
}

/** Membership of the highest scores first, equal ones together. */
function descending(scores: readonly number[], belongs: readonly boolean[]): boolean[][] {
  const order = [...scores.keys()].sort((a, b) => (scores[b] as number) - (scores[a] as number));
  const groups: boolean[][] = [];
  order.forEach((i, at) => {
    const before = order[at - 1];
    if (before === undefined || scores[before] !== scores[i]) groups.push([]);
    groups.at(-1)?.push(belongs[i] as boolean);
  });
  return groups;
}
