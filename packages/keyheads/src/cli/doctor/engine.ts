import { existsSync } from "node:fs";
import { type BundledModel, bundledModels, defaultModels } from "@keyheads/models";
import { cudaStatus, loadBinding, loadedFrom, schemaHash } from "@keyheads/native";
import { verify } from "../../verify/verify.ts";
import { version } from "../../version.ts";
import { type Check, fine, note, problem } from "./check.ts";

export function addon(): Check[] {
  try {
    const binding = loadBinding();
    const { isa, cpu, gemm, threads, compiler, napi } = binding.info();
    const { kind, source } = loadedFrom();
    return [
      fine("addon", `${kind} ${source}`),
      fine("addon file", `${addonFile()} (Node-API ${napi}, ${compiler})`),
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

/** The file that the addon was loaded from. */
function addonFile(): string {
  const report = process.report.getReport() as { readonly sharedObjects?: readonly string[] };
  return report.sharedObjects?.find((path) => path.endsWith("keyheads.node")) ?? "loaded";
}

export function cuda(): Check[] {
  const { package: found, driver, gpus, problem: why } = cudaStatus();
  return [
    note("CUDA", found ? `package ${found}` : "no package", why),
    note("NVIDIA driver", driver ?? "none found"),
    note("GPUs", gpus.length > 0 ? gpus.join(", ") : "none found"),
  ];
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
