// Hooks that stay on a model until they are removed.
import type { ModelSpec } from "@keyheads/native";
import { KeyheadsError } from "./errors.ts";
import { parseHook } from "./hooks.ts";
import {
  checkIntervention,
  type FunctionHook,
  type HookFunction,
  type Intervention,
} from "./interventions.ts";
import { checkHeads, type HookEdit, type SiteOptions } from "./sites.ts";

/** A data edit without its site. */
export type EditValue = Omit<HookEdit, keyof SiteOptions>;

/** A hook that a model carries; `using` removes it at the end of its block. */
export interface HookHandle extends Disposable {
  /** Full name of the hook point. */
  readonly name: string;
  readonly intervention: Intervention;
  /** Whether runs of the model still apply it. */
  readonly active: boolean;
  /** Does nothing if it was removed before. */
  remove(): void;
}

/** A name or a site with what is done there, as one intervention. */
export function toIntervention(
  site: string | SiteOptions,
  what: HookFunction | EditValue | Pick<FunctionHook, "run" | "gradient">,
): Intervention {
  const place = typeof site === "string" ? { hook: site } : site;
  return typeof what === "function" ? { ...place, run: what } : { ...place, ...what };
}

export class PersistentHooks {
  readonly #hooks = new Set<HookHandle>();

  /** Throws UNKNOWN_HOOK or BAD_ARGUMENT for what no run of the model could apply. */
  add(intervention: Intervention, spec: ModelSpec): HookHandle {
    const point = parseHook(intervention.hook, spec);
    const { name } = point;
    checkHeads(intervention, point, spec);
    checkIntervention(intervention);
    if (intervention.rows) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `${name}: rows are of one batch; use positions and items`,
      );
    }
    const all = this.#hooks;
    const handle: HookHandle = {
      name,
      intervention,
      get active() {
        return all.has(handle);
      },
      remove: () => void all.delete(handle),
      [Symbol.dispose]: () => void all.delete(handle),
    };
    all.add(handle);
    return handle;
  }

  list(): HookHandle[] {
    return [...this.#hooks];
  }

  clear(): void {
    this.#hooks.clear();
  }

  /** Those of the model first, in the order in which they were added. */
  before(interventions: readonly Intervention[] = []): readonly Intervention[] {
    if (this.#hooks.size === 0) return interventions;
    return [...this.list().map(({ intervention }) => intervention), ...interventions];
  }
}
