import { KeyheadsError } from "../errors.ts";

/**
 * What some items do not allow is no reason to end a run: its result is left out, and why is said.
 * Other errors are thrown on.
 */
export async function attempt<T>(
  what: string,
  work: () => Promise<T>,
): Promise<{ value?: T; note?: string }> {
  try {
    return { value: await work() };
  } catch (error) {
    if (!(error instanceof KeyheadsError && error.code === "BAD_ITEMS")) throw error;
    return { note: `${what}: ${error.message}` };
  }
}
