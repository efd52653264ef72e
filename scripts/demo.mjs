// The main job on the model that keyheads trained itself: `npm run demo` after `npm run setup`.
// Arguments go to `keyheads run`: `npm run demo -- --seed 3`.
import { existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { main, root, runShown, secondsSince } from "./lib/process.mjs";

const model = "arith";

/** runs/demo, or runs/demo-2, runs/demo-3 ... where that exists: a run never replaces another. */
function freeFolder() {
  for (let number = 1; ; ++number) {
    const folder = join(root, "runs", number === 1 ? "demo" : `demo-${number}`);
    if (!existsSync(folder)) return folder;
  }
}

await main(async () => {
  const given = process.argv.slice(2);
  const at = given.indexOf("--out");
  const out = at < 0 ? relative(root, freeFolder()) : given[at + 1];
  const start = performance.now();
  const keyheads = join(root, "packages", "keyheads", "bin", "keyheads.mjs");
  const args = ["run", model, ...given, ...(at < 0 ? ["--out", out] : [])];
  const code = await runShown(process.execPath, [keyheads, ...args], { env: process.env });
  if (code !== 0) return code;
  process.stdout.write(`\nfinished in ${secondsSince(start)}\n`);
  process.stdout.write(`report: ${resolve(root, out, "report.html")}\n`);
  return 0;
});
