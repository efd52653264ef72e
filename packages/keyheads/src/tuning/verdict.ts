// Was localisation worth it? The rule is fixed beforehand (docs/tuning.md): supported only if, in
// each condition (with and without replay) that random draws ran in, at most one draw in twenty
// reaches the same gain with no more updates than the key heads, and at most one in twenty at no
// more collateral damage.
import type { TunedMethod, TuningComparison } from "../results.ts";

/** With fewer draws "one in twenty" cannot be told from chance. */
const leastDraws = 20;
const mostAsGood = 0.05;

/**
 * Percentiles are shares of the draws that do at least as well as the key heads; they are those
 * without replay where that was run. A draw that never reached the gain does worse.
 */
export function gainVerdict(
  methods: readonly TunedMethod[],
  matchedGain: number,
  target: string,
): TuningComparison["verdict"] {
  const ran = [false, true]
    .map((replay) => methods.filter((method) => method.replay === replay))
    .filter((some) => some.some(({ kind }) => kind === "key"));
  const withDraws = ran.filter((some) => some.some(({ kind }) => kind === "random"));
  const conditions = (withDraws.length > 0 ? withDraws : ran).map((some) =>
    judge(some, matchedGain, target),
  );
  const first = conditions[0];
  return {
    supported: conditions.length > 0 && conditions.every(({ supported }) => supported),
    text: conditions.map(({ text }) => text).join(" "),
    updatesPercentile: first?.updates ?? null,
    collateralPercentile: first?.collateral ?? null,
  };
}

interface Judgement {
  readonly supported: boolean;
  readonly text: string;
  readonly updates: number | null;
  readonly collateral: number | null;
}

function judge(methods: readonly TunedMethod[], matchedGain: number, target: string): Judgement {
  const key = methods.find(({ kind }) => kind === "key") as TunedMethod;
  const draws = methods.filter(({ kind }) => kind === "random");
  const where = key.replay ? "With replay" : "Without replay";
  const goal = `the gain of ${matchedGain} points on ${target}`;
  if (key.updates === null) {
    const text = `${where}: not supported, the key heads never reached ${goal}.`;
    return { supported: false, text, updates: null, collateral: null };
  }
  const reached = `the key heads reached ${goal} in ${key.updates} updates and lost ${points(key.collateral)} elsewhere`;
  if (draws.length === 0) {
    const text = `${where}: not supported, ${reached}, and there are no random draws to compare with.`;
    return { supported: false, text, updates: null, collateral: null };
  }
  const updates = shareAsGood(draws, key.updates, ({ updates: n }) => n);
  const collateral = shareAsGood(draws, key.collateral, (m) =>
    m.updates === null ? null : m.collateral,
  );
  const enough = draws.length >= leastDraws;
  const supported = enough && updates <= mostAsGood && collateral <= mostAsGood;
  const few = enough
    ? ""
    : ` ${draws.length} draws are too few to support it; ${leastDraws} would be needed.`;
  const text =
    `${where}: ${supported ? "supported" : "not supported"}, ${reached}; ` +
    `of ${draws.length} random draws ${percent(updates)} needed no more updates and ${percent(collateral)} lost no more ` +
    `(at most ${percent(mostAsGood)} of each would support it).${few}`;
  return { supported, text, updates, collateral };
}

function shareAsGood(
  draws: readonly TunedMethod[],
  key: number,
  value: (method: TunedMethod) => number | null,
): number {
  const good = draws.filter((draw) => (value(draw) ?? Number.POSITIVE_INFINITY) <= key);
  return good.length / draws.length;
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

function points(value: number): string {
  return `${value.toFixed(2)} points`;
}
