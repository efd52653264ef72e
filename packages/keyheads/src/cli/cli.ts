/**
 * What a command may use of the terminal: notes and progress on stderr, data on stdout, the signal
 * that Ctrl-C raises.
 */
import { createProgress, createStages, type Progress, type Stages } from "./progress.ts";

export interface Cli {
  readonly signal: AbortSignal;
  /** stdout holds one JSON object and nothing else. */
  readonly json: boolean;
  /** A line on stderr. */
  note(line: string): void;
  /** Data on stdout while the command runs; not with --json. */
  write(text: string): void;
  /** A bar on a terminal, a line every few seconds elsewhere. */
  progress(label: string): Progress;
  /** The same for work of many named stages. */
  stages(): Stages;
}

export function createCli(signal: AbortSignal, json: boolean): Cli {
  return {
    signal,
    json,
    note: (line) => void process.stderr.write(`${line}\n`),
    write: (text) => {
      if (!json) process.stdout.write(text);
    },
    progress: createProgress,
    stages: createStages,
  };
}
