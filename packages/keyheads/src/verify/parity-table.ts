// The table of docs/parity.md.
import type { ParityRow } from "./parity.ts";

/** The first line of a file that may be written again. */
export const tableMark = "<!-- written by `keyheads verify --all` -->";

/** Markdown; `command` is how it was made and `kernels` what it ran on. */
export function parityTable(
  rows: readonly ParityRow[],
  { command, kernels }: { readonly command: string; readonly kernels: string },
): string {
  const lines = rows.map(({ model, architecture, scale, errors, transformers, groups, pass }) => {
    const all = [...groups.f32, ...groups.f64];
    const gradients = groups.f32.find(({ name }) => name === "grad")?.maxAbs;
    const failed = all.filter((group) => !group.pass).map(({ name }) => name);
    return [
      model,
      architecture,
      scale.toFixed(1),
      power(errors.f32.maxAbs),
      power(transformers.f32.maxAbs),
      power(errors.bf16.maxAbs),
      power(transformers.bf16.maxAbs),
      power(errors.f64.maxAbs),
      power(gradients),
      pass ? `${all.length} of ${all.length}` : `not: ${failed.join(", ")}`,
    ];
  });
  const head = [
    ["model", "family", "largest logit", "float32", "float32 of transformers"],
    ["bfloat16", "bfloat16 of transformers"],
    ["float64", "gradients, float32", "groups that agree"],
  ].flat();
  return `${tableMark}

# Parity with transformers

How far the logits of each golden model are from those of transformers in float64, at worst. Beside it
the same of transformers itself: what rounding does, not what a formula does. In bfloat16 keyheads keeps
matrices in bfloat16 and computes in float32, transformers does both in bfloat16. Gradients are of
the loss for every weight, against transformers in float32. The groups (logits, residual streams,
patterns, z, MLPs, gradients, AdamW, path and activation patching, knock-outs, generation; see
[FORMAT.md](../packages/keyheads/src/verify/FORMAT.md)) are checked in float32 and in float64 against
five times the rounding error that was measured for each.

\`${command}\`, on ${kernels} kernels:

${[head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n")}
`;
}

const power = (value: number | null | undefined) => value?.toExponential(1) ?? "–";
