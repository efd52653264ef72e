// One call into the engine: a job number, an AbortSignal that cancels it, errors with a stack.
import { type Binding, type Control, loadBinding, type MemoryPlan } from "@keyheads/native";
import { callNative, type ErrorCode, KeyheadsError } from "./errors.ts";
import { insideHook } from "./inside-hook.ts";

export interface CallOptions {
  /** Aborting rejects the call with CANCELLED; what was written before stays. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

let jobs = 0;

/** The addon; NO_BINARY and STALE_BINARY carry their remedy. */
export function engine(): Binding {
  try {
    return loadBinding();
  } catch (cause) {
    const { code = "NO_BINARY", message } = cause as { code?: ErrorCode; message: string };
    throw new KeyheadsError(code, message, { cause });
  }
}

export async function callEngine<T>(
  call: (binding: Binding, control: Control) => Promise<T>,
  { signal, onProgress }: CallOptions = {},
): Promise<T> {
  const binding = engine();
  if (insideHook()) {
    throw new KeyheadsError(
      "ENGINE_BUSY",
      "a function hook cannot call the engine that waits for it; make the call before or after the run",
    );
  }
  if (signal?.aborted)
    throw new KeyheadsError("CANCELLED", "the call was cancelled before it began");
  const job = ++jobs;
  const cancel = () => binding.cancel(job);
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    return await callNative(() => call(binding, { job, ...(onProgress && { onProgress }) }));
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

/** A call that is planned instead: what it would need in memory. */
export async function planCall(
  call: (binding: Binding, control: Control) => Promise<unknown>,
  options?: CallOptions,
): Promise<MemoryPlan> {
  return await callEngine(
    async (binding, control) => (await call(binding, { ...control, plan: true })) as MemoryPlan,
    options,
  );
}
