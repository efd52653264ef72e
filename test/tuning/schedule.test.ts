import { expect, test } from "vitest";
import { ItemOrder } from "../../packages/keyheads/src/tuning/order.ts";
import { checkRun } from "../../packages/keyheads/src/tuning/run-settings.ts";
import {
  learningRateFactor,
  type ScheduleOptions,
} from "../../packages/keyheads/src/tuning/schedule.ts";

test("schedules rise over the warm-up and fall to zero after the last update", () => {
  const factors = (options: ScheduleOptions) =>
    Array.from({ length: 6 }, (_, step) => learningRateFactor({ warmup: 2, ...options }, step, 6));
  expect(factors({})).toEqual([0.5, 1, 1, 1, 1, 1]);
  expect(factors({ schedule: "linear" })).toEqual([0.5, 1, 1, 0.75, 0.5, 0.25]);
  expect(factors({ schedule: "linear", floor: 0.5 })).toEqual([0.5, 1, 1, 0.875, 0.75, 0.625]);
  expect(factors({ schedule: "polynomial" })).toEqual([0.5, 1, 1, 0.5625, 0.25, 0.0625]);
  expect(factors({ schedule: "polynomial", power: 1 })).toEqual(factors({ schedule: "linear" }));
  const cosine = factors({ schedule: "cosine" });
  expect(cosine[2]).toBe(1);
  expect(cosine[4]).toBeCloseTo(0.5, 12);
  for (const schedule of ["linear", "cosine", "polynomial"] as const) {
    expect(learningRateFactor({ schedule, warmup: 2 }, 6, 6)).toBeCloseTo(0, 12);
  }
});

test("an epoch visits every item once, in an order of its own", () => {
  const order = new ItemOrder(10, 4, 3);
  const epoch = (n: number) => [0, 1, 2].flatMap((step) => order.at(3 * n + step));
  expect(order.at(2)).toHaveLength(2);
  const first = epoch(0);
  expect([...first].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(epoch(1)).not.toEqual(first);
  expect(epoch(0)).toEqual(first);
  expect(new ItemOrder(10, 4, 3).at(4)).toEqual(order.at(4));
  expect(new ItemOrder(10, 4, 4).at(0)).not.toEqual(order.at(0));
});

test("updates follow from epochs, and settings that make no sense are refused by name", () => {
  const run = checkRun({ batch: 4, accumulate: 2, epochs: 3 }, 17, 1);
  expect(run.steps).toBe(9);
  expect(run.update).toEqual({
    lr: 2e-5,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weightDecay: 0,
    clip: 1,
    gradientScale: 1,
  });
  for (const [options, message] of [
    [{ epochs: 1, steps: 2 }, "epochs or steps"],
    [{ batch: 0 }, "batch is 0; expected a whole number, 1 or more"],
    [{ steps: 1.5 }, "steps is 1.5"],
    [{ lr: -1 }, "lr is -1; expected a positive number"],
    [{ lr: Number.NaN }, "lr is NaN"],
    [{ betas: [0.9, 1] as const }, "betas is 0.9,1"],
    [{ eps: 0 }, "eps is 0"],
    [{ weightDecay: -0.1 }, "weightDecay is -0.1"],
    [{ clip: Number.POSITIVE_INFINITY }, "clip is Infinity"],
    [{ warmup: -1 }, "warmup is -1"],
    [{ power: 0 }, "power is 0"],
    [{ floor: 1.5 }, "floor is 1.5"],
    [{ patience: 2 }, "patience needs validation items"],
    [{ seed: 0.5 }, "seed is 0.5"],
    [{ resume: true }, "resume needs the folder"],
  ] as const) {
    expect(() => checkRun(options, 10, 1)).toThrow(message);
  }
});
