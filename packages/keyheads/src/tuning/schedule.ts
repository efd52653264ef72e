import type { Schedule } from "./options.ts";

/** Factor on the learning rate of update `step`, counted from 0, of `steps`. */
export function learningRateFactor(
  schedule: Schedule,
  step: number,
  steps: number,
  warmup: number,
): number {
  if (step < warmup) return (step + 1) / warmup;
  if (schedule === "constant") return 1;
  const progress = (step - warmup) / Math.max(1, steps - warmup);
  return schedule === "linear" ? 1 - progress : (1 + Math.cos(Math.PI * progress)) / 2;
}
