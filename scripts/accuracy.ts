// Writes docs/accuracy.md: every method on hand-built models with known circuits.
import { fileURLToPath } from "node:url";
import {
  accuracyPlan,
  accuracyTable,
  measureAccuracy,
} from "../packages/keyheads/src/ground-truth/accuracy-table.ts";
import { writeWhole } from "../packages/keyheads/src/run/write-whole.ts";

const rows = await measureAccuracy(accuracyPlan, (what) => console.error(what));
const path = fileURLToPath(new URL("../docs/accuracy.md", import.meta.url));
await writeWhole(path, accuracyTable(rows, accuracyPlan));
