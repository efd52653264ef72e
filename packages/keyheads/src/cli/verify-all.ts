/** `verify --all`: many folders of golden data in every precision, and the table of their errors. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { engine } from "../engine.ts";
import { KeyheadsError } from "../errors.ts";
import type { LoadOptions } from "../model.ts";
import { writeWhole } from "../run/write-whole.ts";
import { goldenFolders, type ParityRow, parityOf } from "../verify/parity.ts";
import { parityTable, tableMark } from "../verify/parity-table.ts";
import type { Cli } from "./cli.ts";
import { table } from "./table.ts";

export interface VerifyAllOptions {
  readonly folders: readonly string[];
  /** Markdown file for the table. */
  readonly table: string;
  readonly force: boolean;
  readonly load: LoadOptions;
}

/** The repository's own models. */
const ours = "test/fixtures";

/** Throws OUTPUT_EXISTS for a table file that something else wrote. */
export async function verifyAll(options: VerifyAllOptions, cli: Cli): Promise<ParityRow[]> {
  const { folders, table: path, force, load } = options;
  await refuseOthers(path, force);
  if (folders.length === 0 && !existsSync(ours)) {
    throw new KeyheadsError("USAGE", `there is no ${ours} here; name folders: --all FOLDER...`);
  }
  const found = await goldenFolders(folders.length === 0 ? [ours] : folders);
  using progress = cli.progress("verify");
  const rows: ParityRow[] = [];
  for (const folder of found) {
    rows.push(await parityOf(folder, load));
    progress.onProgress(rows.length, found.length);
  }
  const command = `keyheads verify --all${folders.map((folder) => ` ${folder}`).join("")}`;
  const kernels = engine().info().isa;
  await writeWhole(path, parityTable(rows, { command, kernels }));
  cli.note(`written to ${path}`);
  return rows;
}

export function showAll(rows: readonly ParityRow[]): string {
  const cells = rows.map(({ model, architecture, errors, groups, pass }) => {
    const failed = [...groups.f32, ...groups.f64].filter((group) => !group.pass);
    return [
      model,
      architecture,
      errors.f32.maxAbs.toExponential(2),
      errors.bf16.maxAbs.toExponential(2),
      errors.f64.maxAbs.toExponential(2),
      pass ? "ok" : `FAILED: ${failed.map(({ name }) => name).join(", ")}`,
    ];
  });
  const failed = rows.filter(({ pass }) => !pass).length;
  const verdict = failed === 0 ? "all agree" : `${failed} do not agree`;
  const head = ["model", "family", "float32", "bfloat16", "float64", ""];
  return `${table(head, cells)}\n${rows.length} models: ${verdict}\n`;
}

async function refuseOthers(path: string, force: boolean): Promise<void> {
  if (force || !existsSync(path) || (await readFile(path, "utf8")).startsWith(tableMark)) return;
  throw new KeyheadsError(
    "OUTPUT_EXISTS",
    `${path} exists and is no table of verify --all; give another --table, or --force to replace it`,
  );
}
