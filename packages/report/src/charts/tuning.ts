/** Every tuning method at the same gain: updates it took against what it cost elsewhere. */
import * as Plot from "@observablehq/plot";
import { type Html, html } from "../html.ts";
import type { TunedMethod } from "../results.ts";
import { isNumber, plain, signed } from "../text/numbers.ts";
import { draw } from "./draw.ts";
import { type LegendItem, legend } from "./figure.ts";

type Kind = TunedMethod["kind"];

interface Look {
  readonly label: string;
  readonly color: string;
  readonly mark: LegendItem["mark"];
  readonly symbol: Plot.SymbolType;
  readonly r: number;
}

export const looks: Readonly<Record<Kind, Look>> = {
  random: { label: "random heads", color: "var(--c-random)", mark: "ring", symbol: "circle", r: 4 },
  lowest: {
    label: "lowest-effect heads",
    color: "var(--c-lowest)",
    mark: "triangle",
    symbol: "triangle",
    r: 5,
  },
  mlp: { label: "MLPs", color: "var(--c-mlp-tuned)", mark: "square", symbol: "square", r: 5 },
  full: { label: "all parameters", color: "var(--c-full)", mark: "cross", symbol: "times", r: 5 },
  key: { label: "key heads", color: "var(--c-key)", mark: "diamond", symbol: "diamond", r: 7 },
};

export function tuningLegend(methods: readonly TunedMethod[]): Html {
  const kinds = (Object.keys(looks) as Kind[]).filter((k) => methods.some((m) => m.kind === k));
  return legend(kinds.reverse().map((kind) => looks[kind]));
}

/** One panel; `domains` are shared by panels that are compared. */
export function tuningScatter(
  methods: readonly TunedMethod[],
  domains: { updates: readonly [number, number]; collateral: readonly [number, number] },
  title: string,
): Html {
  const reached = methods.filter((m) => isNumber(m.updates) && isNumber(m.collateral));
  const key = reached.find((m) => m.kind === "key");
  const hint = (m: TunedMethod) =>
    `${m.title}: ${plain(m.updates)} updates, ${signed(m.collateral)} points lost elsewhere`;
  return html`${draw({
    width: 380,
    height: 300,
    title,
    description: key ? hint(key) : "The key heads did not reach the gain.",
    marginLeft: 46,
    marginRight: 16,
    marginTop: 28,
    marginBottom: 42,
    x: {
      domain: [...domains.updates],
      label: "updates to the matched gain",
      labelAnchor: "center",
      labelArrow: "none",
      ticks: 6,
    },
    y: { domain: [...domains.collateral], axis: null },
    marks: [
      Plot.gridY({ ticks: 6, stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.axisY({
        ticks: 6,
        tickSize: 0,
        label: "collateral (points lost elsewhere)",
        labelArrow: "none",
      }),
      Plot.ruleY([0], { stroke: "var(--muted)", strokeDasharray: "2 3" }),
      ...(Object.keys(looks) as Kind[]).map((kind) => {
        const { color, symbol, r } = looks[kind];
        const own = reached.filter((m) => m.kind === kind);
        const hollow = kind === "random" || kind === "full";
        return Plot.dot(own, {
          x: "updates",
          y: "collateral",
          symbol,
          r,
          ...(hollow
            ? { stroke: color, strokeWidth: kind === "full" ? 2.5 : 1.5 }
            : { fill: color }),
          title: hint,
        });
      }),
    ],
  })}`;
}

export function scatterDomains(methods: readonly TunedMethod[]): {
  updates: [number, number];
  collateral: [number, number];
} {
  // What never reached the gain is not drawn.
  const reached = methods.filter((m) => isNumber(m.updates) && isNumber(m.collateral));
  const updates = reached.map((m) => m.updates as number);
  const collateral = reached.map((m) => m.collateral);
  const low = Math.min(0, ...collateral);
  const high = Math.max(0.5, ...collateral);
  const pad = (high - low) * 0.06;
  return {
    updates: [0, Math.max(1, ...updates) * 1.05],
    collateral: [low < 0 ? low - pad : 0, high + pad],
  };
}
