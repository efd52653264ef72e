import { fsync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { promisify } from "node:util";

const sync = promisify(fsync);

/** What was written is on the disk. FileHandle.sync does not exist under Yarn's Plug'n'Play. */
export const flush = (file: FileHandle): Promise<void> => sync(file.fd);
