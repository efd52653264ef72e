// The tables of docs/accuracy.md: every method on every case over noise levels, depths and grouped queries.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mean } from "../statistics/bootstrap.ts";
import { type Blindness, blindnesses, type Case } from "./case.ts";
import { cases } from "./cases/index.ts";
import { type Judged, judge, judgedMethods, leastShare } from "./judge.ts";
import { type GroundTruthOptions, writeGroundTruth } from "./make.ts";

/** The first line of a file that may be written again. */
export const accuracyMark = "<!-- written by `npm run accuracy` -->";

export interface AccuracyPlan {
  readonly cases: readonly string[];
  readonly noise: readonly number[];
  readonly shapes: readonly Pick<GroundTruthOptions, "layers" | "heads" | "kvHeads">[];
  readonly items: number;
  readonly seed: number;
}

export const accuracyPlan: AccuracyPlan = {
  cases: cases.map(({ name }) => name),
  noise: [0, 0.1, 0.2],
  shapes: [
    { layers: 4, heads: 4 },
    { layers: 6, heads: 4, kvHeads: 2 },
  ],
  items: 16,
  seed: 1,
};

export interface AccuracyRow extends Judged {
  readonly case: string;
  readonly noise: number;
  /** Of the model at its task. */
  readonly accuracy: number;
}

/** One row a model and method. `onModel` hears of every model that is done. */
export async function measureAccuracy(
  plan: AccuracyPlan,
  onModel?: (what: string) => void,
): Promise<AccuracyRow[]> {
  const folder = await mkdtemp(join(tmpdir(), "keyheads-accuracy-"));
  const rows: AccuracyRow[] = [];
  try {
    for (const name of plan.cases) {
      for (const noise of plan.noise) {
        for (const shape of plan.shapes) {
          const { items, seed } = plan;
          const out = join(folder, "model");
          const truth = await writeGroundTruth(name, out, {
            ...{ ...shape, noise, items, seed, force: true },
          });
          const { accuracy, judged } = await judge(out, truth);
          rows.push(...judged.map((one) => ({ case: name, noise, accuracy, ...one })));
          onModel?.(`${name}, noise ${noise}, ${JSON.stringify(shape)}`);
        }
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return rows;
}

export function accuracyTable(rows: readonly AccuracyRow[], plan: AccuracyPlan): string {
  const chosen = cases.filter(({ name }) => plan.cases.includes(name));
  const methods = judgedMethods.map(({ name }) => name);
  const edgeMethods = ["exact edges", "eap", "eap-ig", "eap-ig, activations"];
  const byCase = (of: Judged["of"], names: readonly string[]) =>
    table(
      ["case", ...names],
      chosen.map(({ name }) => [
        name,
        ...names.map((method) => cell(rows, { case: name, method, of })),
      ]),
    );
  const byNoise = table(
    ["noise", "accuracy of the models", ...methods],
    plan.noise.map((noise) => [
      String(noise),
      `${(100 * average(rows.filter((row) => row.noise === noise).map(({ accuracy }) => accuracy))).toFixed(1)} %`,
      ...methods.map((method) => cell(rows, { noise, method, of: "parts" })),
    ]),
  );
  return `${accuracyMark}

# Accuracy on known circuits

Models written by hand (\`keyheads ground-truth\`), whose circuits are known. Every cell is average
precision / area under the ROC curve of the size of a method's effects, in telling the parts of the
circuit from all other heads and MLPs (1 is perfect; chance is a little above the parts' share / 0.5).
Effects below ${100 * leastShare} % of the total effect count as none and tie; average precision is its expectation over all orders
of what ties, so that a part without an effect does not come first by accident. Figures are averages over
noise ${plan.noise.join(", ")} (standard deviation of a matrix' entries times the square root of its
columns; the parts' own entries are about 1) and over ${plan.shapes.length} shapes: ${plan.shapes
    .map(
      ({ layers, heads, kvHeads }) =>
        `${layers} layers of ${heads} heads${kvHeads ? ` on ${kvHeads} key/value heads` : ""}`,
    )
    .join(
      "; ",
    )}. All methods but \`exact\` and \`direct-gradient\` replace senders at all positions.

## Heads and MLPs

${byCase("parts", methods)}

## Edges

${byCase("edges", edgeMethods)}

## Over noise

${byNoise}

## The cases, and what must be missed

${chosen.map(describe).join("\n")}

A method that misses a part for one of these reasons is right: it answers another question. The direct
effect of a head that acts only through later heads is nil.
`;
}

function describe({ name, about, why }: Case): string {
  const blind = (kind: Blindness) => [
    ...judgedMethods.filter(({ blindTo }) => blindTo.includes(kind)).map((one) => one.name),
    ...(kind === "total" ? ["exact edges"] : []),
  ];
  const reasons = blindnesses.flatMap((kind) =>
    why[kind] ? [`  - ${blind(kind).join(", ")}: ${why[kind]}`] : [],
  );
  return [`- **${name}**: ${about}.`, ...reasons].join("\n");
}

function cell(rows: readonly AccuracyRow[], want: Partial<AccuracyRow>): string {
  const found = rows.filter((row) =>
    Object.entries(want).every(([key, value]) => row[key as keyof AccuracyRow] === value),
  );
  const of = (pick: (row: AccuracyRow) => number) => average(found.map(pick)).toFixed(2);
  return `${of((row) => row.averagePrecision)} / ${of((row) => row.rocAuc)}`;
}

const average = (values: readonly number[]): number => mean(Float64Array.from(values));

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}
