/**
 * Learning rate over the updates, after a linear rise over the warm-up. linear, cosine and polynomial
 * fall from the full rate to `floor` of it behind the last update.
 */
export type Schedule = "constant" | "linear" | "cosine" | "polynomial";

export const schedules = ["constant", "linear", "cosine", "polynomial"] as const;

export interface ScheduleOptions {
  /** constant by default. */
  readonly schedule?: Schedule;
  /** Updates over which the learning rate rises linearly; 0 by default. */
  readonly warmup?: number;
  /** Exponent of polynomial; 2 by default, 1 is linear. */
  readonly power?: number;
  /** Share of the full rate that is left at the end; 0 by default. */
  readonly floor?: number;
}

/** Factor on the learning rate of update `step`, counted from 0, of `steps`. */
export function learningRateFactor(options: ScheduleOptions, step: number, steps: number): number {
  const { schedule = "constant", warmup = 0, power = 2, floor = 0 } = options;
  if (step < warmup) return (step + 1) / warmup;
  if (schedule === "constant") return 1;
  const progress = (step - warmup) / Math.max(1, steps - warmup);
  return floor + (1 - floor) * decay(schedule, progress, power);
}

function decay(schedule: Schedule, progress: number, power: number): number {
  if (schedule === "linear") return 1 - progress;
  if (schedule === "polynomial") return (1 - progress) ** power;
  return (1 + Math.cos(Math.PI * progress)) / 2;
}

/**
 * The same for a rate that rises over `warmup` updates, is constant, and falls linearly to zero from
 * the share `decayFrom` of the updates on.
 */
export function warmStableDecay(
  step: number,
  steps: number,
  { warmup, decayFrom }: { readonly warmup: number; readonly decayFrom: number },
): number {
  const decay = Math.max(warmup, decayFrom * steps);
  const rising = step < warmup ? (step + 1) / warmup : 1;
  return step < decay ? rising : (steps - step) / Math.max(1, steps - decay);
}
