/** What commands that train have in common: their options, and what they show while it runs. */
import { dirname } from "node:path";
import type { TuneEvent } from "../tuning/options.ts";
import { schedules } from "../tuning/schedule.ts";
import type { Cli } from "./cli.ts";
import { option, type Values } from "./command.ts";
import { count, decimal, duration } from "./table.ts";
import { choice, integer, number, text } from "./values.ts";

/** Seconds between checkpoints, whatever --checkpoint-every says. */
const checkpointSeconds = 300;

export const trainingOptions = {
  epochs: option("--epochs <n>", "passes over the items (default: 1)", integer(1).optional()),
  steps: option("--steps <n>", "updates, instead of epochs", integer(1).optional()),
  lr: option("--lr <x>", "learning rate (default: 2e-5)", number({ above: 0 }).optional()),
  batch: option("--batch <n>", "items that run at once (default: 16)", integer(1).default(16)),
  accumulate: option(
    "--accumulate <n>",
    "batches of one update (default: 1)",
    integer(1).default(1),
  ),
  weightDecay: option(
    "--weight-decay <x>",
    "decoupled, on the chosen weights only (default: 0)",
    number({ min: 0 }).optional(),
  ),
  clip: option(
    "--clip <x>",
    "largest norm of the gradients, 0 for none (default: 1)",
    number({ min: 0 }).optional(),
  ),
  schedule: option(
    "--schedule <name>",
    `${schedules.join(", ")} (default: constant)`,
    choice(...schedules).default("constant"),
  ),
  warmup: option(
    "--warmup <n>",
    "updates over which the rate rises (default: 0)",
    integer(0).default(0),
  ),
  power: option(
    "--power <x>",
    "exponent of the polynomial schedule (default: 2)",
    number({ above: 0 }).optional(),
  ),
  floor: option(
    "--floor <x>",
    "share of the rate that is left at the end (default: 0)",
    number({ min: 0, max: 1 }).optional(),
  ),
  eval: option(
    "--eval <file>",
    "items of which loss and accuracy are measured on the way",
    text().optional(),
  ),
  evalEvery: option(
    "--eval-every <n>",
    "updates between these (default: every update)",
    integer(1).optional(),
  ),
  patience: option(
    "--patience <n>",
    "stop after so many evaluations without a lower loss and keep the best weights",
    integer(1).optional(),
  ),
  checkpointEvery: option(
    "--checkpoint-every <n>",
    "updates between checkpoints (default: every 5 minutes, at the end and when interrupted)",
    integer(1).optional(),
  ),
  resume: option(
    "--resume <folder>",
    "continue from the checkpoint in this folder",
    text().optional(),
  ),
} as const;

/** The values that training takes as they are; an option that was not given is left out. */
export function trainingValues(values: Values<typeof trainingOptions>) {
  const { eval: _, resume: __, evalEvery, ...rest } = values;
  const { epochs, steps, lr, weightDecay, clip, power, floor, patience, checkpointEvery } = rest;
  const optional = { epochs, steps, lr, weightDecay, clip, power, floor, patience };
  return {
    batch: rest.batch,
    accumulate: rest.accumulate,
    schedule: rest.schedule,
    warmup: rest.warmup,
    checkpointSeconds,
    ...given({ ...optional, checkpointEvery, evaluateEvery: evalEvery }),
  };
}

/** Shows updates, evaluations and, after Ctrl-C, where the run goes on from. */
export function trainingProgress(cli: Cli, label: string) {
  const progress = cli.progress(label);
  // Time left and tokens a second follow the last updates: the first are slower.
  const recent: { seconds: number; tokens: number }[] = [];
  return {
    onEvent(event: TuneEvent): void {
      if (event.type === "step") {
        recent.push(event);
        if (recent.length > 20) recent.shift();
        const seconds = recent.reduce((sum, one) => sum + one.seconds, 0);
        const tokens = recent.reduce((sum, one) => sum + one.tokens, 0);
        const left = ((event.steps - event.step) * seconds) / recent.length;
        progress.onProgress(
          event.step,
          event.steps,
          `loss ${decimal(event.loss)}, ${count(Math.round(tokens / seconds))} tokens/s, ${duration(left)} left`,
        );
      }
      if (event.type === "validation") {
        const { step, loss, accuracy } = event.result;
        cli.note(`update ${step}: loss ${decimal(loss)}, accuracy ${decimal(accuracy)} on --eval`);
      }
      if (event.type === "checkpoint" && cli.signal.aborted) {
        cli.note(`update ${event.step} is saved; continue with --resume ${dirname(event.path)}`);
      }
    },
    [Symbol.dispose]: () => progress[Symbol.dispose](),
  };
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function given<T extends object>(values: T): Given<T> {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  ) as Given<T>;
}
