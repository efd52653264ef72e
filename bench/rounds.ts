// Rounds in which every contestant runs once, the order turning, so that a slow spell of the machine
// hits all alike; only ratios within a round are compared.
import { median } from "./peer.ts";

export interface Ratio {
  readonly median: number;
  readonly range: readonly [number, number];
}

/** Seconds of every contestant in every round: the median of its passes, in turn with the others'. */
export async function alternate<Name extends string>(
  rounds: number,
  contestants: Readonly<Record<Name, () => Promise<number>>>,
  passes = 1,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(contestants) as Name[];
  const seconds = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<
    Name,
    number[]
  >;
  for (let round = 0; round < rounds; ++round) {
    const taken = names.map((): number[] => []);
    for (let pass = 0; pass < passes; ++pass) {
      for (const i of names.keys()) {
        const at = (i + round + pass) % names.length;
        await pause(20);
        taken[at]?.push(await contestants[names[at] as Name]());
      }
    }
    for (const [i, name] of names.entries()) seconds[name].push(median(taken[i] as number[]));
  }
  return seconds;
}

/** How many times longer `theirs` took than `ours`, round by round. */
export function ratioOf(theirs: readonly number[], ours: readonly number[]): Ratio {
  const ratios = theirs.map((seconds, round) => seconds / (ours[round] as number));
  return { median: median(ratios), range: [Math.min(...ratios), Math.max(...ratios)] };
}

/** Threads that spin for a while after their work have gone to sleep by then. */
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
