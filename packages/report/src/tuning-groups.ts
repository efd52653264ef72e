/** Methods of the tuning comparison gathered by kind and replay, draws as median and range. */
import type { TunedMethod, TuningComparison } from "./results.ts";
import { isNumber, type Maybe } from "./text/numbers.ts";

export interface MethodGroup {
  readonly kind: TunedMethod["kind"];
  readonly replay: boolean;
  /** The method's own title where there is one, else that of its kind. */
  readonly title: string;
  readonly methods: readonly TunedMethod[];
  /** How many reached the matched gain. */
  readonly reached: number;
  readonly updates: Spread | undefined;
  readonly collateral: Spread | undefined;
  readonly gain: Spread | undefined;
  readonly trainedParameters: Spread | undefined;
  readonly lr: Spread | undefined;
}

export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

const order: readonly TunedMethod["kind"][] = ["key", "random", "lowest", "mlp", "full"];

export function spread(values: readonly Maybe[]): Spread | undefined {
  const sorted = values.filter(isNumber).sort((a, b) => a - b);
  const low = sorted[0];
  const high = sorted.at(-1);
  if (low === undefined || high === undefined) return undefined;
  const half = (sorted.length - 1) / 2;
  const a = sorted[Math.floor(half)] ?? low;
  const b = sorted[Math.ceil(half)] ?? high;
  return { median: (a + b) / 2, low, high };
}

export function methodGroups(tuning: TuningComparison): MethodGroup[] {
  const groups: MethodGroup[] = [];
  for (const replay of [false, true]) {
    for (const kind of order) {
      const methods = tuning.methods.filter((m) => m.kind === kind && m.replay === replay);
      if (methods.length === 0) continue;
      const first = methods[0]?.title ?? kind;
      groups.push({
        kind,
        replay,
        title: methods.length === 1 ? first : groupTitle(kind, first, methods.length),
        methods,
        reached: methods.filter((m) => isNumber(m.updates)).length,
        updates: spread(methods.map((m) => m.updates)),
        // What a method that never got there cost is no cost of the same gain.
        collateral: spread(methods.filter((m) => isNumber(m.updates)).map((m) => m.collateral)),
        gain: spread(methods.filter((m) => isNumber(m.updates)).map((m) => m.gain)),
        trainedParameters: spread(methods.map((m) => m.trainedParameters)),
        lr: spread(methods.map((m) => m.lr)),
      });
    }
  }
  return groups;
}

function groupTitle(kind: TunedMethod["kind"], first: string, n: number): string {
  return kind === "random" ? `Random heads, ${n} draws` : `${first} (${n} runs)`;
}
