// Which code runs on behalf of a function hook. The engine waits for it, so a call to the engine from
// there would wait for itself.
import { AsyncLocalStorage } from "node:async_hooks";

/** The function hooks of one run, of which one at a time is open. */
export interface HookScope {
  open: boolean;
}

const scopes = new AsyncLocalStorage<HookScope>();

/** Whether this code belongs to a run whose function hook has not ended. */
export const insideHook = (): boolean => scopes.getStore()?.open ?? false;

/** All that this callback of the event loop begins from now on belongs to the function hooks of a run. */
export const enterHooks = (scope: HookScope): void => scopes.enterWith(scope);
