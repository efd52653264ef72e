// What idle hooks cost: the same forward pass with the addon and with a build without taps, each in a
// process of its own.
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
  using taps = start(`${build}/keyheads.node`);
  using withoutTaps = start(bare);
  const request = { folder, sequences };
  for (const each of [taps, withoutTaps]) await each.ask<number>(request);
  const contestants = {
    taps: () => taps.ask<number>({}),
    withoutTaps: () => withoutTaps.ask<number>({}),
  };
  const seconds = await alternate(rounds, contestants, passes);
  return overhead(seconds.taps, seconds.withoutTaps);
}
