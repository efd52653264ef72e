import { describe, expect, test } from "vitest";
import type { TunedMethod } from "../../packages/keyheads/src/results.ts";
import { gainVerdict } from "../../packages/keyheads/src/tuning/verdict.ts";

function method(
  kind: TunedMethod["kind"],
  updates: number | null,
  collateral: number,
  replay = false,
): TunedMethod {
  return {
    name: kind,
    title: kind,
    kind,
    heads: [],
    mlps: [],
    replay,
    seed: 0,
    lr: 1e-3,
    trainedParameters: 1,
    updates,
    gain: 8,
    collateral,
    after: [],
  };
}
const draws = (count: number, updates: number | null, collateral: number, replay = false) =>
  Array.from({ length: count }, () => method("random", updates, collateral, replay));

describe("the verdict", () => {
  test("is supported where one draw in twenty does as well", () => {
    const methods = [method("key", 6, 0.5), ...draws(19, 10, 2), method("random", 6, 0.5)];
    const verdict = gainVerdict(methods, 8, "W");
    expect(verdict).toMatchObject({
      supported: true,
      updatesPercentile: 0.05,
      collateralPercentile: 0.05,
    });
    expect(verdict.text).toContain("6 updates and lost 0.50 points");
  });

  test("is not supported where two in twenty do, in updates or in collateral", () => {
    const key = method("key", 6, 0.5);
    expect(gainVerdict([key, ...draws(18, 10, 2), ...draws(2, 6, 2)], 8, "W").supported).toBe(
      false,
    );
    expect(gainVerdict([key, ...draws(18, 10, 2), ...draws(2, 9, 0.5)], 8, "W").supported).toBe(
      false,
    );
  });

  test("counts a draw that never reached the gain as worse, even with little collateral", () => {
    const methods = [method("key", 6, 0.5), ...draws(20, null, 0)];
    expect(gainVerdict(methods, 8, "W")).toMatchObject({
      supported: true,
      collateralPercentile: 0,
    });
  });

  test("needs twenty draws, and key heads that reached the gain", () => {
    const few = gainVerdict([method("key", 6, 0.5), ...draws(19, 10, 2)], 8, "W");
    expect(few.supported).toBe(false);
    expect(few.text).toContain("19 draws are too few");
    const never = gainVerdict([method("key", null, 0.5), ...draws(20, 10, 2)], 8, "W");
    expect(never).toMatchObject({ supported: false, updatesPercentile: null });
    expect(never.text).toContain("never reached");
    expect(gainVerdict([method("key", 6, 0.5)], 8, "W").text).toContain("no random draws");
  });

  test("leaves out a condition that no draw ran in", () => {
    const without = [method("key", 6, 0.5), ...draws(20, 10, 2)];
    const verdict = gainVerdict([...without, method("key", null, 0.5, true)], 8, "W");
    expect(verdict.supported).toBe(true);
    expect(verdict.text).not.toContain("With replay");
  });

  test("needs both conditions where replay was run", () => {
    const without = [method("key", 6, 0.5), ...draws(20, 10, 2)];
    const replayed = [method("key", 6, 0.5, true), ...draws(20, 5, 2, true)];
    const verdict = gainVerdict([...without, ...replayed], 8, "W");
    expect(verdict.supported).toBe(false);
    expect(verdict.text).toMatch(/Without replay: supported.*With replay: not supported/);
    expect(verdict.updatesPercentile).toBe(0);
  });
});
