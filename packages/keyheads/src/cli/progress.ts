/** Progress on stderr: a bar on a terminal, elsewhere plain lines, at most one every few seconds. */
import cliProgress from "cli-progress";

const secondsBetweenLines = 5;

export interface Progress extends Disposable {
  readonly onProgress: (done: number, total: number) => void;
}

export function createProgress(label: string): Progress {
  return process.stderr.isTTY ? bar(label) : lines(label);
}

function bar(label: string): Progress {
  const shown = new cliProgress.SingleBar({
    format: `${label} {bar} {percentage} % | {value}/{total} | {duration_formatted}`,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 30,
    hideCursor: true,
    clearOnComplete: true,
    stream: process.stderr,
  });
  let started = false;
  return {
    onProgress(done, total) {
      if (!started) shown.start(total, done);
      started = true;
      shown.setTotal(total);
      shown.update(done);
    },
    [Symbol.dispose]() {
      if (started) shown.stop();
    },
  };
}

function lines(label: string): Progress {
  let last = performance.now();
  return {
    onProgress(done, total) {
      const now = performance.now();
      if (now - last < secondsBetweenLines * 1000 || total <= 0) return;
      last = now;
      process.stderr.write(`${label}: ${done}/${total} (${Math.floor((100 * done) / total)} %)\n`);
    },
    [Symbol.dispose]() {},
  };
}
