// Which code runs on behalf of a function hook. The engine waits for it, so a call to the engine from
// there would wait for itself.
import { AsyncLocalStorage } from "node:async_hooks";

const firing = new AsyncLocalStorage<{ open: boolean }>();

/** Whether this code belongs to a function hook that has not ended. */
export const insideHook = (): boolean => firing.getStore()?.open ?? false;

/** Runs `work` as part of a function hook, which has ended once `state.open` is false. */
export function runInHook<T>(state: { open: boolean }, work: () => T): T {
  return firing.run(state, work);
}
