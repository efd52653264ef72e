// Rounds in which every contestant runs once, the order turning, so that a slow spell of the machine
// hits all alike; only ratios within a round are compared.
import { median } from "./peer.ts";

export interface Ratio {
  readonly median: number;
  readonly range: readonly [number, number];
}

/** Seconds of every contestant in every round. */
export async function alternate<Name extends string>(
  rounds: number,
  contestants: Readonly<Record<Name, () => Promise<number>>>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(contestants) as Name[];
  const seconds = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<
    Name,
    number[]
  >;
  for (let round = 0; round < rounds; ++round) {
    for (const i of names.keys()) {
      const name = names[(i + round) % names.length] as Name;
      await pause(20);
      seconds[name].push(await contestants[name]());
    }
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
