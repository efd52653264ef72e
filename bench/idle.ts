// What idle hooks cost: the same forward pass with the addon and with a build without taps, each in a
// process of its own. Every round starts both anew: where a process's memory happens to lie decides
// over a percent for as long as it lives.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Peer } from "./peer.ts";
import { alternate } from "./rounds.ts";
import { type Overhead, overhead } from "./sample.ts";

/** undefined where the build without taps is missing. */
export async function compareWithoutTaps(
  folder: string,
  sequences: readonly (readonly number[])[],
  rounds: number,
  passes: number,
): Promise<Overhead | undefined> {
  const build = fileURLToPath(new URL("../native/build/Release", import.meta.url));
  const bare = `${build}/keyheads_without_taps.node`;
  if (!existsSync(bare)) {
    console.error(`${bare} is not built: idle hooks are not measured`);
    return undefined;
  }
  const start = (addon: string) =>
    new Peer([process.execPath, ...process.execArgv], "idle-peer.ts", { KEYHEADS_NATIVE: addon });
  const addons = { taps: `${build}/keyheads.node`, withoutTaps: bare };
  const seconds = { taps: [] as number[], withoutTaps: [] as number[] };
  for (let round = 0; round < rounds; ++round) {
    using first = start(round % 2 === 0 ? addons.taps : addons.withoutTaps);
    await first.ask<number>({ folder, sequences });
    using second = start(round % 2 === 0 ? addons.withoutTaps : addons.taps);
    await second.ask<number>({ folder, sequences });
    const [taps, withoutTaps] = round % 2 === 0 ? [first, second] : [second, first];
    const contestants = {
      taps: () => taps.ask<number>({}),
      withoutTaps: () => withoutTaps.ask<number>({}),
    };
    const taken = await alternate(1, contestants, passes);
    seconds.taps.push(...taken.taps);
    seconds.withoutTaps.push(...taken.withoutTaps);
  }
  return overhead(seconds.taps, seconds.withoutTaps);
}
