// Variants of the fixtures: the same model with other tensors, files or settings.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readJson } from "../../packages/keyheads/src/load/json.ts";
import { openSafetensors, readTensorBytes } from "../../packages/keyheads/src/load/safetensors.ts";
import {
  type TensorToWrite,
  writeSafetensors,
} from "../../packages/keyheads/src/load/write-safetensors.ts";

export interface Variant {
  readonly tensors?: (tensors: TensorToWrite[]) => TensorToWrite[];
  /** Which file a tensor goes to. */
  readonly shards?: (name: string) => string;
  readonly config?: Readonly<Record<string, unknown>>;
}

export const fixture = (model: string): string =>
  fileURLToPath(new URL(`../fixtures/${model}`, import.meta.url));

/** A folder for variants, which `[Symbol.dispose]` removes. */
export class Variants {
  readonly folder = mkdtempSync(join(tmpdir(), "keyheads-variants-"));
  #count = 0;

  async make(model: string, { tensors, shards, config }: Variant): Promise<string> {
    const folder = join(this.folder, String(++this.#count));
    mkdirSync(folder);
    const settings = (await readJson(join(fixture(model), "config.json"))) as object;
    writeFileSync(join(folder, "config.json"), JSON.stringify({ ...settings, ...config }));
    const changed = tensors?.(await tensorsOf(model)) ?? (await tensorsOf(model));
    if (!shards) {
      await writeSafetensors(join(folder, "model.safetensors"), changed);
      return folder;
    }
    const map = Object.fromEntries(changed.map(({ name }) => [name, shards(name)]));
    for (const file of new Set(Object.values(map))) {
      const inFile = changed.filter(({ name }) => map[name] === file);
      await writeSafetensors(join(folder, file), inFile);
    }
    const index = join(folder, "model.safetensors.index.json");
    writeFileSync(index, JSON.stringify({ weight_map: map }));
    return folder;
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}

/** float32 values as a tensor to write. */
export function floats(name: string, shape: number[], values: readonly number[]): TensorToWrite {
  return { name, dtype: "F32", shape, data: new Uint8Array(Float32Array.from(values).buffer) };
}

async function tensorsOf(model: string): Promise<TensorToWrite[]> {
  const { tensors } = await openSafetensors(join(fixture(model), "model.safetensors"));
  return await Promise.all(
    tensors.map(async ({ name, dtype, shape, ...rest }) => {
      const data = await readTensorBytes({ name, dtype, shape, ...rest });
      return { name, dtype, shape, data };
    }),
  );
}
