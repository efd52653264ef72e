// How well scores find what belongs to a circuit.

/** Area under the precision-recall curve as a step function; equal scores count as one threshold. */
export function averagePrecision(scores: readonly number[], belongs: readonly boolean[]): number {
  let [area, hits, seen] = [0, 0, 0];
  const total = belongs.filter(Boolean).length;
  for (const group of descending(scores, belongs)) {
    const found = group.filter(Boolean).length;
    hits += found;
    seen += group.length;
    area += (found / total) * (hits / seen);
  }
  return area;
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
