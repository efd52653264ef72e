/** `--config FILE`: a JSON object whose keys are the long names of the command's options. */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { KeyheadsError } from "../errors.ts";
import { camelCase, flagName, type Options } from "./command.ts";

/** Reads the file; keys become camel case. Unknown keys are errors that list the known ones. */
export async function readConfig(file: string, command: string, options: Options) {
  const names = Object.values(options)
    .map(({ flags }) => flagName(flags))
    .filter((name) => name !== "config");
  const parsed = z.record(z.string(), z.unknown()).safeParse(await readJson(file));
  if (!parsed.success) {
    throw new KeyheadsError("USAGE", `${file}: expected one JSON object of options`);
  }
  for (const key of Object.keys(parsed.data)) {
    if (names.includes(key)) continue;
    throw new KeyheadsError(
      "USAGE",
      `${file}: ${command} has no option "${key}"; it has ${names.join(", ")}`,
    );
  }
  return Object.fromEntries(
    Object.entries(parsed.data).map(([key, given]) => [camelCase(key), given]),
  );
}

async function readJson(file: string): Promise<unknown> {
  let source: string;
  try {
    source = await readFile(file, "utf8");
  } catch (cause) {
    throw new KeyheadsError("USAGE", `--config ${file}: ${(cause as Error).message}`, { cause });
  }
  try {
    return JSON.parse(source);
  } catch (cause) {
    throw new KeyheadsError("USAGE", `${file} is not JSON: ${(cause as Error).message}`, { cause });
  }
}
