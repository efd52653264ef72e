/**
 * Ctrl-C: the first press lets the running work finish cleanly (checkpoints, temporary files), the
 * second ends the process at once.
 */
import { KeyheadsError } from "../errors.ts";

const interrupted = 130;

export function interruptible(): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(interrupted);
    process.stderr.write("\nstopping; press Ctrl-C again to stop at once\n");
    controller.abort(new KeyheadsError("CANCELLED", "interrupted"));
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  return controller.signal;
}
