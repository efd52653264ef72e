import { componentName, type HeadRef, mlp } from "../attribution/component.ts";
import { identify } from "../attribution/identify.ts";
import type { IdentifyOptions } from "../attribution/options.ts";
import type { Model } from "../model.ts";
import type { IdentifyResult } from "../results.ts";
import type { Items } from "./options.ts";

export interface NegativeControl {
  readonly result: IdentifyResult;
  /** Largest absolute effect of a head or MLP; anything but (nearly) zero is a fault. */
  readonly largest: number;
  readonly at: string;
}

/** Patches X_r with itself: whatever effect appears was made by the method, not by the model. */
export async function negativeControl(
  model: Model,
  items: Items,
  options: Omit<IdentifyOptions, "counterfactual" | "excludeUnchanged"> = {},
): Promise<NegativeControl> {
  const result = await identify(model, items, { ...options, counterfactual: "self" });
  const effects: { component: HeadRef; effect: number }[] = [
    ...result.heads.flatMap((row, layer) =>
      row.map((effect, head) => ({ component: { layer, head }, effect })),
    ),
    ...result.mlps.map((effect, layer) => ({ component: mlp(layer), effect })),
  ];
  const measured = effects.filter(({ effect }) => !Number.isNaN(effect));
  const worst = measured.reduce((a, b) => (Math.abs(b.effect) > Math.abs(a.effect) ? b : a));
  return { result, largest: Math.abs(worst.effect), at: componentName(worst.component) };
}
