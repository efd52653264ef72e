import { stat } from "node:fs/promises";
import { bundledModels } from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";

/** The folder of a model: a path that is a folder, or the name of a model that comes with keyheads. */
export async function resolveModel(nameOrFolder: string): Promise<string> {
  const found = await stat(nameOrFolder).catch(() => undefined);
  if (found?.isDirectory()) return nameOrFolder;
  const bundled = bundledModels.find((model) => model.name === nameOrFolder);
  if (bundled) return bundled.folder;
  const names = bundledModels.map((model) => model.name).join(", ");
  const what = found
    ? "is a file, not a folder"
    : "is neither a folder nor the name of a bundled model";
  throw new KeyheadsError("USAGE", `${nameOrFolder} ${what}; bundled models: ${names}`);
}
