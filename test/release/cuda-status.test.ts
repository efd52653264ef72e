// What is said of CUDA on machines that lack something, from files as NVIDIA's driver has them.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { type CudaLibrary, type CudaQuestion, cudaStatus } from "../../native/cuda.ts";
import { loadedFrom } from "../../native/load.ts";

/** A folder as /proc/driver/nvidia. */
function driver(version: string, gpus: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "keyheads-driver-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(
    join(folder, "version"),
    `NVRM version: NVIDIA UNIX ${version}  Release Build  (root@)\nGCC version: gcc 12.2.0\n`,
  );
  for (const [i, name] of gpus.entries()) {
    mkdirSync(join(folder, "gpus", `0000:0${i}:00.0`), { recursive: true });
    writeFileSync(
      join(folder, "gpus", `0000:0${i}:00.0`, "information"),
      `Model: \t\t ${name}\nIRQ:   \t\t 17\n`,
    );
  }
  return folder;
}
const tooOld = "x86_64 Kernel Module  535.129.03";
const good = "Open Kernel Module for x86_64  580.65.06";

const packaged: CudaLibrary = { file: "/no/such/keyheads_cuda.so", kind: "package" };
const status = (question: Partial<CudaQuestion> = {}) =>
  cudaStatus({
    addon: loadedFrom().file,
    version: "1.2.3",
    library: packaged,
    installed: "1.2.3",
    ...question,
  });

describe("the machine", () => {
  it("without a driver", () => {
    const found = status({ proc: "/no/such/folder" });
    expect(found).toMatchObject({ driver: undefined, gpus: [], devices: [] });
    expect(found.problem).toBe("no NVIDIA driver was found");
  });
  it("with a driver that is too old", () => {
    const found = status({ proc: driver(tooOld, ["NVIDIA A100"]) });
    expect(found).toMatchObject({ driver: "535.129.03", gpus: ["NVIDIA A100"] });
    expect(found.problem).toBe("the NVIDIA driver is 535.129.03, and 580.65 or newer is needed");
  });
  it("with a driver but no GPU", () => {
    const { problem } = status({ proc: driver(good, []) });
    expect(problem).toBe("the NVIDIA driver 580.65.06 lists no GPU");
  });
});

describe("the library", () => {
  const proc = () => driver(good, ["NVIDIA H200", "NVIDIA H200"]);

  it("of another version", () => {
    const { problem } = status({ proc: proc(), installed: "1.2.2" });
    expect(problem).toMatch(/is version 1\.2\.2, and keyheads is version 1\.2\.3: .*npm install/);
  });
  it("that cannot be opened", () => {
    const found = status({ proc: proc() });
    expect(found.gpus).toEqual(["NVIDIA H200", "NVIDIA H200"]);
    expect(found.problem).toMatch(/\/no\/such\/keyheads_cuda.so cannot be opened: .*No such file/);
  });
  it("in a process that ends before it answers", () => {
    const { problem } = status({ proc: proc(), addon: "/no/such/keyheads.node" });
    expect(problem).toMatch(/the CUDA driver did not answer .* \(exit code 1: .*nvidia-smi/);
  });

  const shim = fileURLToPath(
    new URL("../../native/build/Release/keyheads_cuda_shim.so", import.meta.url),
  );
  it.skipIf(!existsSync(shim))("of the tests has one device, without a driver", () => {
    const library: CudaLibrary = { file: shim, kind: "KEYHEADS_CUDA_LIBRARY" };
    const { devices, problem } = status({ library, proc: "/no/such/folder" });
    expect(problem).toBeUndefined();
    expect(devices).toMatchObject([{ name: "CPU in place of a GPU", capability: "9.0" }]);
  });
});
