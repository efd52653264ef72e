// The training curve as an SVG file: losses above, accuracies of the probes below.
import type { PretrainRow } from "../../keyheads/src/pretraining/pretrain.ts";

const [width, height, left, right] = [720, 240, 48, 150];
const colors = [
  "#0b6e99",
  "#d9730d",
  "#0f7b6c",
  "#ad1a72",
  "#6940a5",
  "#64473a",
  "#dfab01",
  "#e03e3e",
];

interface Line {
  readonly name: string;
  readonly points: readonly (readonly [step: number, value: number])[];
}

/** Rows of metrics.jsonl; losses are means over 50 updates. */
export function trainingCurve(rows: readonly PretrainRow[]): string {
  const last = rows.at(-1)?.step ?? 1;
  const mean = (name: "loss" | "answerLoss", title: string): Line => ({
    name: title,
    points: rows
      .filter(({ step }) => step % 50 === 0)
      .map(({ step }) => {
        const some = rows.slice(step - 50, step);
        return [step, some.reduce((sum, row) => sum + row[name], 0) / some.length];
      }),
  });
  const probes = rows.flatMap(({ step, probe }) => (probe ? [{ step, probe }] : []));
  const tasks = Object.keys(probes[0]?.probe.accuracy ?? {}).filter((n) => !n.includes("trained"));
  const losses: Line[] = [
    mean("answerLoss", "answer tokens"),
    mean("loss", "weighted mean"),
    { name: "held-out text", points: probes.map(({ step, probe }) => [step, probe.textLoss]) },
  ];
  const accuracies = tasks.map(
    (name): Line => ({
      name,
      points: probes.map(({ step, probe }) => [step, 100 * (probe.accuracy[name] as number)]),
    }),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${2 * height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${width}" height="${2 * height}" fill="white"/>`,
    panel(losses, { title: "loss, nats a token", top: 0, last, most: 7 }),
    panel(accuracies, { title: "probes, % right", top: height, last, most: 100 }),
    "</svg>\n",
  ].join("\n");
}

function panel(
  lines: readonly Line[],
  { title, top, last, most }: { title: string; top: number; last: number; most: number },
): string {
  const [upper, lower] = [top + 28, top + height - 28];
  const x = (step: number) => left + (step / last) * (width - left - right);
  const y = (value: number) => lower - (Math.min(value, most) / most) * (lower - upper);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const at = y(share * most).toFixed(1);
    return `<path d="M${left} ${at}H${width - right}" stroke="#ddd"/><text x="${left - 6}" y="${at}" text-anchor="end" dy="4">${+(share * most).toFixed(2)}</text>`;
  });
  const steps = [0, 0.2, 0.4, 0.6, 0.8, 1].map((share) => {
    const step = Math.round(share * last);
    return `<text x="${x(step).toFixed(1)}" y="${lower + 16}" text-anchor="middle">${step}</text>`;
  });
  const curves = lines.map(({ name, points }, i) => {
    const color = colors[i % colors.length];
    const path = points.map(([s, v]) => `${x(s).toFixed(1)} ${y(v).toFixed(1)}`).join("L");
    const label = upper + 14 * i + 6;
    return `<path d="M${path}" fill="none" stroke="${color}" stroke-width="1.5"/><text x="${width - right + 10}" y="${label}" fill="${color}">${name}</text>`;
  });
  return [`<text x="${left}" y="${top + 16}">${title}</text>`, ...grid, ...steps, ...curves].join(
    "\n",
  );
}
