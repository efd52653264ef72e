/** Which heads count as key heads: the first k, a threshold, or a test with a minimum effect. */
import type { KeyOptions } from "../attribution/options.ts";
import { KeyheadsError } from "../errors.ts";
import { option } from "./command.ts";
import { integer, number } from "./values.ts";

const defaultShare = 0.01;

export const keyOptions = {
  top: option("--top <k>", "key heads: the k that harm most", integer(1).optional()),
  threshold: option(
    "--threshold <x>",
    "key heads: relative logit below this (default: -0.05)",
    number({ below: 0 }).optional(),
  ),
  alpha: option(
    "--alpha <p>",
    "key heads: family-wise p of a max-T sign-flip test at most this, and --minimum-share",
    number({ above: 0, below: 1 }).optional(),
  ),
  minimumShare: option(
    "--minimum-share <x>",
    `with --alpha: least share of the total effect (default: ${defaultShare})`,
    number({ min: 0 }).optional(),
  ),
} as const;

interface KeyValues {
  readonly top: number | undefined;
  readonly threshold: number | undefined;
  readonly alpha: number | undefined;
  readonly minimumShare: number | undefined;
}

/** Throws USAGE for rules that contradict each other. */
export function toKeyOptions({ top, threshold, alpha, minimumShare }: KeyValues): KeyOptions {
  if (top !== undefined && threshold !== undefined) {
    throw new KeyheadsError("USAGE", "--top and --threshold exclude each other; give one of them");
  }
  if (alpha !== undefined && threshold !== undefined) {
    throw new KeyheadsError("USAGE", "--alpha and --threshold exclude each other; give one");
  }
  if (minimumShare !== undefined && alpha === undefined) {
    throw new KeyheadsError(
      "USAGE",
      "--minimum-share belongs to a test: give --alpha, such as 0.05",
    );
  }
  return {
    ...(top !== undefined && { top }),
    ...(threshold !== undefined && { threshold }),
    ...(alpha !== undefined && {
      significance: { alpha, minimumShare: minimumShare ?? defaultShare },
    }),
  };
}
