/** A piece of the page that the contents list can point at. */
import type { Html } from "../html.ts";
import type { Experiment } from "../results.ts";

export interface Part {
  readonly id: string;
  readonly title: string;
  readonly body: Html;
  readonly parts?: readonly Part[];
}

/** One id per experiment, different even where names are not. */
export function experimentIds(experiments: readonly Experiment[]): string[] {
  const seen = new Map<string, number>();
  return experiments.map(({ name }) => {
    const id = `e-${slug(name)}`;
    const n = (seen.get(id) ?? 0) + 1;
    seen.set(id, n);
    return n === 1 ? id : `${id}--${n}`;
  });
}

/** Names come from the results file: only letters and digits reach an id. */
function slug(name: string): string {
  return (
    name
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, "") || "x"
  );
}
