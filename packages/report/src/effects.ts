/**
 * One way to read an IdentifyResult: every component with a value whose positive sign means "helps
 * the answer". Shares of the total effect where they exist; where the total effect is (nearly) zero
 * they are noise divided by nothing, and the fall of the metric itself is shown instead.
 */
import type { EffectName, IdentifyResult, Interval } from "./results.ts";
import { count, isNumber, list, type Maybe, number, share } from "./text/numbers.ts";

export interface Component {
  /** "2.1" for a head, "MLP 2" for an MLP: unique. */
  readonly name: string;
  readonly kind: "head" | "mlp";
  readonly layer: number;
  readonly head: number;
  readonly value: number;
  readonly interval: Interval | undefined;
  readonly key: boolean;
}

export interface EffectView {
  readonly unit: "share" | "effect";
  /** Axis title. */
  readonly axis: string;
  readonly layers: number;
  readonly heads: number;
  readonly headValues: readonly (readonly Maybe[])[];
  readonly mlpValues: readonly Maybe[];
  readonly keyHeads: ReadonlySet<string>;
  readonly keyMlps: ReadonlySet<number>;
  /** Heads and MLPs with a finite value, largest size first. */
  readonly ranked: readonly Component[];
  format(value: Maybe): string;
}

/** Shares beyond this say that the total effect is no scale to divide by. */
const absurdShare = 20;

export const effectTitles: Readonly<Record<EffectName, string>> = {
  "logit-difference": "logit difference",
  logprob: "log-probability",
  logit: "logit of the answer",
  prob: "probability of the answer",
  "relative-logit": "relative logit",
  ie: "indirect effect",
  normalised: "normalised effect",
};

export function effectTitle(effect: string): string {
  return (effectTitles as Readonly<Record<string, string>>)[effect] ?? effect;
}

export function effectView(result: IdentifyResult): EffectView {
  const flat = [...(result.headShares ?? []).flat(), ...(result.mlpShares ?? [])].filter(isNumber);
  const useShare = flat.length > 0 && flat.every((value) => Math.abs(value) <= absurdShare);
  const negate = (value: Maybe): Maybe => (isNumber(value) ? -value : value);
  const headValues = useShare
    ? result.headShares
    : (result.heads ?? []).map((row) => row.map(negate));
  const mlpValues = useShare ? (result.mlpShares ?? []) : (result.mlps ?? []).map(negate);
  const scale = useShare ? 1 / result.totalEffect : -1;
  const keyHeads = new Set(result.keyHeads ?? []);
  const keyMlps = new Set(result.keyMlps ?? []);
  const components: Component[] = [];
  headValues.forEach((row, layer) => {
    row.forEach((value, head) => {
      const name = `${layer}.${head}`;
      const interval = scaled(result.headCI?.[layer]?.[head], scale);
      const key = keyHeads.has(name);
      if (isNumber(value))
        components.push({ name, kind: "head", layer, head, value, interval, key });
    });
  });
  mlpValues.forEach((value, layer) => {
    const interval = scaled(result.mlpCI?.[layer], scale);
    const key = keyMlps.has(layer);
    const name = `MLP ${layer}`;
    if (isNumber(value)) {
      components.push({ name, kind: "mlp", layer, head: -1, value, interval, key });
    }
  });
  return {
    unit: useShare ? "share" : "effect",
    axis: useShare ? "share of the total effect (%)" : `fall in ${effectTitle(result.effect)}`,
    layers: Math.max(headValues.length, mlpValues.length),
    heads: Math.max(0, ...headValues.map((row) => row.length)),
    headValues,
    mlpValues,
    keyHeads,
    keyMlps,
    ranked: components.sort((a, b) => Math.abs(b.value) - Math.abs(a.value)),
    format: (value) => (useShare ? share(value) : number(value)),
  };
}

function scaled(interval: Interval | null | undefined, scale: number): Interval | undefined {
  if (!interval || !isNumber(interval[0]) || !isNumber(interval[1])) return undefined;
  const [a, b] = [interval[0] * scale, interval[1] * scale];
  if (!isNumber(a) || !isNumber(b)) return undefined;
  return a <= b ? [a, b] : [b, a];
}

/** The component's value in a result, by name; undefined where it has none. */
export function componentValue(view: EffectView, component: Component): number | undefined {
  const value =
    component.kind === "head"
      ? view.headValues[component.layer]?.[component.head]
      : view.mlpValues[component.layer];
  return isNumber(value) ? value : undefined;
}

export function largest(view: EffectView): number {
  return Math.abs(view.ranked[0]?.value ?? 0);
}

/** One sentence for readers who cannot see the map. */
export function describeView(view: EffectView): string {
  const top = view.ranked.slice(0, 5).map((c) => `${c.name} ${view.format(c.value)}`);
  return `${count(view.layers)} layers by ${count(view.heads)} heads. Strongest: ${list(top) || "none"}.`;
}
