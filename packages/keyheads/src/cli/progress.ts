/** Progress on stderr: a bar on a terminal, elsewhere plain lines, at most one every few seconds. */
import cliProgress from "cli-progress";

const secondsBetweenLines = 5;

export interface Progress extends Disposable {
  /** `detail` is shown behind the numbers. */
  readonly onProgress: (done: number, total: number, detail?: string) => void;
}

export function createProgress(label: string): Progress {
  return process.stderr.isTTY ? bar(label) : lines(label);
}

function bar(label: string): Progress {
  const shown = new cliProgress.SingleBar({
    format: `${label} {bar} {percentage} % | {value}/{total} | {duration_formatted}{detail}`,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 30,
    hideCursor: true,
    clearOnComplete: true,
    stream: process.stderr,
  });
  let started = false;
  return {
    onProgress(done, total, detail = "") {
      const payload = { detail: detail === "" ? "" : ` | ${detail}` };
      if (!started) shown.start(total, done, payload);
      started = true;
      shown.setTotal(total);
      shown.update(done, payload);
    },
    [Symbol.dispose]() {
      if (started) shown.stop();
    },
  };
}

function lines(label: string): Progress {
  let last = performance.now();
  return {
    onProgress(done, total, detail = "") {
      const now = performance.now();
      if (now - last < secondsBetweenLines * 1000 || total <= 0) return;
      last = now;
      process.stderr.write(
        `${label}: ${done}/${total} (${Math.floor((100 * done) / total)} %)${detail && `, ${detail}`}\n`,
      );
    },
    [Symbol.dispose]() {},
  };
}

/** Work of many stages, one bar or line after the other. */
export interface Stages extends Progress {
  readonly onStage: (text: string) => void;
}

export function createStages(): Stages {
  let shown: Progress | undefined;
  let last = Number.NEGATIVE_INFINITY;
  return {
    onStage(text) {
      shown?.[Symbol.dispose]();
      shown = createProgress(text);
      const now = performance.now();
      if (process.stderr.isTTY || now - last < secondsBetweenLines * 1000) return;
      last = now;
      process.stderr.write(`${text}\n`);
    },
    onProgress: (done, total, detail) => shown?.onProgress(done, total, detail),
    [Symbol.dispose]: () => shown?.[Symbol.dispose](),
  };
}
