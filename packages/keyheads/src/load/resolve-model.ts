import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { type BundledModel, bundledModels } from "@keyheads/models";
import { KeyheadsError } from "../errors.ts";
import { version } from "../version.ts";

/** The folder of a model: a path that is a folder, or the name of a model that comes with keyheads. */
export async function resolveModel(nameOrFolder: string): Promise<string> {
  const found = await stat(nameOrFolder).catch(() => undefined);
  if (found?.isDirectory()) return nameOrFolder;
  const bundled = bundledModels.find((model) => model.name === nameOrFolder);
  if (bundled) return installed(bundled);
  const names = bundledModels.map((model) => model.name).join(", ");
  const what = found
    ? "is a file, not a folder"
    : "is neither a folder nor the name of a bundled model";
  throw new KeyheadsError("USAGE", `${nameOrFolder} ${what}; bundled models: ${names}`);
}

function installed({ name, folder }: BundledModel): string {
  if (existsSync(folder)) return folder;
  throw new KeyheadsError(
    "USAGE",
    `the model ${name} is in the package @keyheads/models, which is not installed: npm install @keyheads/models@${version}`,
  );
}
