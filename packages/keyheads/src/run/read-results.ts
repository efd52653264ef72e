import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { KeyheadsError } from "../errors.ts";
import { type RunResult, schemaVersion } from "../results.ts";

/** The fields without which nothing can be shown; the rest is as this version wrote it. */
const outline = z.looseObject({
  schemaVersion: z.literal(schemaVersion),
  model: z.looseObject({ name: z.string() }),
  task: z.looseObject({ title: z.string() }),
  experiments: z.array(z.looseObject({ name: z.string() })),
  claims: z.array(z.unknown()),
});

/** Reads results.json of a run folder. Throws USAGE where there is none that this version reads. */
export async function readResults(folder: string): Promise<RunResult> {
  const path = join(folder, "results.json");
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    const { message } = cause as Error;
    throw new KeyheadsError("USAGE", `${folder} holds no results of a run: ${message}`, { cause });
  }
  const checked = outline.safeParse(parsed);
  if (checked.success) return parsed as RunResult;
  throw new KeyheadsError(
    "USAGE",
    `${path} is not a results file of schema version ${schemaVersion}:\n${z.prettifyError(checked.error)}`,
  );
}
