/** Which of the ways in which `identify` can be asked go together. */
import type { Method } from "../attribution/options.ts";
import { KeyheadsError } from "../errors.ts";
import type { Senders } from "./senders.ts";

export interface Ways {
  readonly method: Method;
  readonly byPosition: boolean;
  readonly sideBySide: boolean;
  readonly receivers: string | undefined;
  readonly positions: string | undefined;
}

/** Throws USAGE for ways of asking that exclude each other. */
export function checkWays(values: Ways, { kinds, embeds, neurons }: Senders): void {
  const { method, byPosition, sideBySide, receivers, positions } = values;
  const units = embeds || neurons.length > 0;
  const refuse = (why: string) => new KeyheadsError("USAGE", why);
  if (byPosition && method !== "activation" && method !== "naive") {
    throw refuse("--by-position needs --method activation, or naive, its slow twin");
  }
  if (byPosition && (units || receivers !== undefined || positions !== undefined)) {
    throw refuse(
      "--by-position is about every position of heads and MLPs: leave out --positions, --receivers, embeds and neurons",
    );
  }
  if (
    sideBySide &&
    (byPosition || method !== "exact" || receivers !== undefined || positions !== undefined)
  ) {
    throw refuse(
      "--side-by-side sets methods and positions itself: leave out --method, --positions, --receivers and --by-position",
    );
  }
  if (units && !["exact", "naive", "activation"].includes(method)) {
    throw refuse(`--senders embeds and neurons are for exact, naive and activation, not ${method}`);
  }
  if (sideBySide && kinds.length === 0) throw refuse("--side-by-side is about heads and MLPs");
}
