/** Renders report.html of a run again from its results.json. */
import { join } from "node:path";
import { renderReportFile } from "@keyheads/report";
import { readResults } from "../../run/read-results.ts";
import { writeWhole } from "../../run/write-whole.ts";
import { defineCommand, option } from "../command.ts";
import { force, optional } from "../options.ts";
import { refuseExisting } from "../output-file.ts";
import { text } from "../values.ts";

export const command = defineCommand({
  name: "report",
  summary: "render report.html of a run again",
  argument: { usage: "<folder>", help: "folder of a run" },
  examples: ["report runs/demo", "report runs/demo --out ./add.html"],
  options: {
    ...optional,
    out: option(
      "--out <file>",
      "where the report goes (default: report.html of the folder, which is replaced)",
      text().optional(),
    ),
    force,
  },
  async run({ target, out, force }) {
    if (out !== undefined) refuseExisting(out, force);
    const page = renderReportFile(await readResults(target));
    const path = out ?? join(target, "report.html");
    await writeWhole(path, page);
    return { data: { report: path }, text: () => `${path}\n` };
  },
});
