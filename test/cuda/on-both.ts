// The same model on the CPU and on the device of a CUDA library: the one that KEYHEADS_CUDA_LIBRARY
// names, or that of the tests, which runs the kernels on the CPU.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { FloatArray } from "@keyheads/native";
import { describe, expect } from "vitest";
import { type DeviceName, type LoadOptions, Model } from "../../packages/keyheads/src/model.ts";
import { choiceNames, randomModel } from "../engine/random-models.ts";

const shim = fileURLToPath(
  new URL("../../native/build/Release/keyheads_cuda_shim.so", import.meta.url),
);
process.env.KEYHEADS_CUDA_LIBRARY ||= shim;
export const onShim = process.env.KEYHEADS_CUDA_LIBRARY.endsWith("_shim.so");
const there = existsSync(process.env.KEYHEADS_CUDA_LIBRARY);
if (!there) console.warn(`no ${process.env.KEYHEADS_CUDA_LIBRARY}: what needs a device is skipped`);

export const describeOnDevice = there ? describe : describe.skip;

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

export const load = (name: string, options: LoadOptions): Promise<Model> =>
  Model.load(fixture(name), options);

/** One model on the device, on the CPU in the same precision, and on the CPU in double. */
export class Trio implements Disposable {
  private constructor(
    readonly cuda: Model,
    readonly cpu: Model,
    readonly exact: Model,
  ) {}

  static async load(name: string): Promise<Trio> {
    const open = (dtype: "f32" | "f64", device: DeviceName) =>
      choiceNames.includes(name) ? randomModel(name, dtype, device) : load(name, { dtype, device });
    return new Trio(await open("f32", "cuda"), await open("f32", "cpu"), await open("f64", "cpu"));
  }

  /** What the three make of the same work, in the order of `expectNear`. */
  async each<R>(work: (model: Model) => Promise<R>): Promise<readonly [R, R, R]> {
    return [await work(this.cuda), await work(this.cpu), await work(this.exact)];
  }

  [Symbol.dispose](): void {
    for (const model of [this.cuda, this.cpu, this.exact]) model.dispose();
  }
}

const worst = (a: FloatArray, b: FloatArray) =>
  a.reduce((most: number, x, i) => {
    const y = b[i] as number;
    return Object.is(x, y) || x === y ? most : Math.max(most, Math.abs(x - y));
  }, 0);

/**
 * The device errs by no more than a few times what float on the CPU errs from double, which is
 * measured here, tensor by tensor; 1e-6 of the tensor's size is for those that the CPU has exactly.
 */
export function expectNear(
  [cuda, cpu, exact]: readonly (FloatArray | undefined)[],
  what: string,
): void {
  expect(cuda, what).toBeInstanceOf(Float32Array);
  expect(cuda?.length, what).toBe(exact?.length);
  if (!cuda || !cpu || !exact) return;
  const finite = [...exact].filter(Number.isFinite);
  const size = Math.sqrt(finite.reduce((sum, x) => sum + x * x, 0) / Math.max(1, finite.length));
  const allowed = 8 * worst(cpu, exact) + 1e-6 * size;
  expect(worst(cuda, exact), what).toBeLessThanOrEqual(allowed);
}
