// A selection as JSON: {"heads": "3.1,4.0" or ["3.1", "4.0"], "mlps": [7], "layers": "4-6",
// "matrices": ["wq.3"], "randomHeads": {"count": 8, "seed": 1}, "keyValueGroups": true}.
import { z } from "zod";
import { KeyheadsError } from "../errors.ts";
import { readJson } from "../load/json.ts";
import { parseHeads, parseLayers, parseMatrices, parseMlps, type Selection } from "./selection.ts";

const list = z
  .union([z.string(), z.array(z.union([z.string(), z.int()]))])
  .transform((given) => (Array.isArray(given) ? given.join(",") : given));

const schema = z.strictObject({
  heads: list.optional(),
  mlps: list.optional(),
  layers: list.optional(),
  matrices: list.optional(),
  randomHeads: z.strictObject({ count: z.int().min(1), seed: z.int().optional() }).optional(),
  keyValueGroups: z.boolean().optional(),
  everything: z.boolean().optional(),
});

/** Throws USAGE, saying which field is wrong. `where` names the source in messages. */
export function toSelection(value: unknown, where = "the selection"): Selection {
  const result = schema.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new KeyheadsError("USAGE", `${where}: ${issue?.path.join(".")}: ${issue?.message}`);
  }
  const { heads, mlps, layers, matrices, randomHeads, keyValueGroups, everything } = result.data;
  return {
    ...(heads !== undefined && { heads: parseHeads(heads) }),
    ...(mlps !== undefined && { mlps: parseMlps(mlps) }),
    ...(layers !== undefined && { layers: parseLayers(layers) }),
    ...(matrices !== undefined && { matrices: parseMatrices(matrices) }),
    ...(randomHeads && {
      randomHeads: {
        count: randomHeads.count,
        ...(randomHeads.seed !== undefined && { seed: randomHeads.seed }),
      },
    }),
    ...(keyValueGroups !== undefined && { keyValueGroups }),
    ...(everything !== undefined && { everything }),
  };
}

/** Reads a JSON file. */
export async function readSelection(file: string): Promise<Selection> {
  const value = await readJson(file).catch((cause: Error) => {
    throw new KeyheadsError("USAGE", `${file}: ${cause.message}`, { cause });
  });
  return toSelection(value, file);
}
