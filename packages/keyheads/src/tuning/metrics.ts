// What a training run measured, update by update, as JSONL and CSV beside its checkpoint. Lines are
// appended while it runs; a resumed run drops the lines of updates that it does again.
import { appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { KeyheadsError } from "../errors.ts";
import { writeWhole } from "../run/write-whole.ts";

/** One update. Losses are means over label tokens, in nats. */
export interface MetricsRow {
  /** Updates done, from 1. */
  readonly step: number;
  readonly loss: number;
  readonly lr: number;
  /** Before clipping. */
  readonly gradientNorm: number;
  /** Tokens that the update read. */
  readonly tokens: number;
  /** Of the update. */
  readonly seconds: number;
  /** Where this update was followed by an evaluation. */
  readonly evalLoss?: number;
  readonly evalAccuracy?: number;
}

const columns = [
  "step",
  "loss",
  "lr",
  "gradientNorm",
  "tokens",
  "seconds",
  "evalLoss",
  "evalAccuracy",
] as const satisfies readonly (keyof MetricsRow)[];

export const metricsFiles = { jsonl: "metrics.jsonl", csv: "metrics.csv" } as const;

export class MetricsLog {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Begins the files anew, with the lines of updates up to `from` that a run before left. */
  static async open(folder: string, from: number): Promise<MetricsLog> {
    const log = new MetricsLog(folder);
    const kept = from > 0 ? (await readMetrics(folder)).filter(({ step }) => step <= from) : [];
    await writeWhole(join(folder, metricsFiles.jsonl), kept.map(jsonLine).join(""));
    await writeWhole(
      join(folder, metricsFiles.csv),
      `${columns.join()}\n${kept.map(csvLine).join("")}`,
    );
    return log;
  }

  /** Throws WRITE_FAILED. */
  async add(row: MetricsRow): Promise<void> {
    try {
      await appendFile(join(this.folder, metricsFiles.jsonl), jsonLine(row));
      await appendFile(join(this.folder, metricsFiles.csv), csvLine(row));
    } catch (cause) {
      const { message } = cause as Error;
      throw new KeyheadsError("WRITE_FAILED", `metrics in ${this.folder}: ${message}`, { cause });
    }
  }
}

/** The rows of a folder; none where there is no file. A last line that was cut off is left out. */
export async function readMetrics(folder: string): Promise<MetricsRow[]> {
  const text = await readFile(join(folder, metricsFiles.jsonl), "utf8").catch(() => "");
  return text.split("\n").flatMap((line) => {
    try {
      return line === "" ? [] : [JSON.parse(line) as MetricsRow];
    } catch {
      return [];
    }
  });
}

const jsonLine = (row: MetricsRow) => `${JSON.stringify(row)}\n`;
const csvLine = (row: MetricsRow) => `${columns.map((name) => row[name] ?? "").join()}\n`;
