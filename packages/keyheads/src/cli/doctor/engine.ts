import { existsSync } from "node:fs";
import { type BundledModel, bundledModels, defaultModels } from "@keyheads/models";
import {
  type CudaDevice,
  type CudaStatus,
  cudaStatus,
  loadBinding,
  loadedFrom,
  schemaHash,
} from "@keyheads/native";
import { verify } from "../../verify/verify.ts";
import { version } from "../../version.ts";
import { type Check, fine, note, problem } from "./check.ts";

export function addon(): Check[] {
  try {
    const binding = loadBinding();
    const { isa, cpu, gemm, threads, compiler, napi } = binding.info();
    const { kind, source, file } = loadedFrom();
    return [
      fine("addon", `${kind} ${source}`),
      fine("addon file", `${file} (Node-API ${napi}, ${compiler})`),
      fine("hook table", binding.schemaHash),
      kernels(cpu, isa),
      fine("matrix products", gemm),
      fine("engine threads", String(threads)),
    ];
  } catch (error) {
    const { code = "", message } = error as { code?: string; message: string };
    const found = code === "STALE_BINARY" ? `out of date (expected ${schemaHash})` : "not loaded";
    return [problem("addon", found, message)];
  }
}

function kernels(cpu: string, isa: string): Check {
  const value = `${cpu}, kernels for ${isa}`;
  if (isa !== "x86-64-v2") return fine("CPU", value);
  const asked = process.env.KEYHEADS_ISA ? " (KEYHEADS_ISA asks for these kernels)" : "";
  return note(
    "CPU",
    value,
    `without AVX2 and FMA: a CPU with them is several times faster${asked}`,
  );
}

export function cuda(): Check[] {
  try {
    return cudaChecks(cudaStatus());
  } catch {
    return [note("CUDA", "not asked for", "the addon is not loaded")];
  }
}

function cudaChecks({ library, driver, gpus, devices, problem: why }: CudaStatus): Check[] {
  const found = library ? `${library.kind} ${library.file}` : "no library";
  return [
    why ? note("CUDA", found, why) : fine("CUDA", found),
    note("NVIDIA driver", driver ?? "none found"),
    note("GPUs", gpus.length > 0 ? gpus.join(", ") : "none found"),
    ...devices.map((device, i) => fine(`CUDA device ${i}`, describeDevice(device))),
  ];
}

function describeDevice(device: CudaDevice): string {
  const [major, minor] = [(v: number) => Math.trunc(v / 1000), (v: number) => (v % 1000) / 10];
  const version = (v: number) => `${major(v)}.${minor(v)}`;
  const memory = `${(device.totalBytes / 2 ** 30).toFixed(1)} GiB`;
  const products = device.cublasLt > 0 ? `cuBLASLt ${device.cublasLt}` : "own matrix products";
  return `${device.name}, compute capability ${device.capability}, ${memory}, driver for CUDA ${version(device.driver)}, runtime ${version(device.runtime)}, ${products}`;
}

const isDefault = ({ name }: BundledModel) => defaultModels.includes(name);
const names = (models: readonly BundledModel[]) => models.map(({ name }) => name).join(", ");

export function models(): Check[] {
  const [own, added] = [
    bundledModels.filter(isDefault),
    bundledModels.filter((m) => !isDefault(m)),
  ];
  const missing = own.filter(({ folder }) => !existsSync(folder));
  const absent = added.filter(({ folder }) => !existsSync(folder));
  return [
    missing.length > 0
      ? problem("bundled models", `missing: ${names(missing)}`, "install keyheads again")
      : fine("bundled models", names(own)),
    absent.length > 0
      ? note(
          "more models",
          `not installed: ${names(absent)}`,
          `npm install @keyheads/models@${version}`,
        )
      : fine("more models", names(added)),
  ];
}

/** Computes a bundled model and compares it with Hugging Face transformers. */
export async function selfTest(): Promise<Check> {
  const model = bundledModels.find(isDefault) as BundledModel;
  const remedy = "please report this, with the output of `keyheads doctor --json`";
  try {
    const { pass, groups } = await verify(model.folder);
    const failed = groups.filter((group) => !group.pass).map(({ name }) => name);
    const what = `${model.name}: ${groups.length} groups of numbers of transformers`;
    if (pass) return fine("self-test", `${what} agree`);
    return problem("self-test", `${what}, different: ${failed.join(", ")}`, remedy);
  } catch (error) {
    return problem("self-test", `${model.name} cannot be computed`, (error as Error).message);
  }
}
