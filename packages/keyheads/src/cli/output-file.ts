import { existsSync } from "node:fs";
import { KeyheadsError } from "../errors.ts";
import { isDevice } from "../run/write-whole.ts";

/** Output files are refused before the work starts. Throws OUTPUT_EXISTS. */
export function refuseExisting(path: string, force: boolean): void {
  if (force || !existsSync(path) || isDevice(path)) return;
  throw new KeyheadsError(
    "OUTPUT_EXISTS",
    `${path} exists; give another --out, or --force to replace it`,
  );
}
