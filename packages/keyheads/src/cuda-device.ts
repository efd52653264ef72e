import { type CudaStatus, cudaStatus, type DeviceRequest, findCudaLibrary } from "@keyheads/native";
import { KeyheadsError } from "./errors.ts";

/** By library: it is asked once, in a process of its own, which takes about a second. */
const asked = new Map<string | undefined, CudaStatus>();

/**
 * The device to open: the first that CUDA lists, which CUDA_VISIBLE_DEVICES chooses. cuBLASLt is
 * searched for, or KEYHEADS_CUBLASLT names its file.
 * Throws NO_DEVICE, with what was found and what to do: nothing falls back to the CPU in silence.
 */
export function cudaDevice(): DeviceRequest {
  const { file } = findCudaLibrary() ?? {};
  const status = asked.get(file) ?? cudaStatus();
  asked.set(file, status);
  const { problem, library } = status;
  if (problem !== undefined || library === undefined) {
    throw new KeyheadsError("NO_DEVICE", `no CUDA device: ${problem}; use "cpu"`);
  }
  const cublasLt = process.env.KEYHEADS_CUBLASLT;
  return { library: library.file, ordinal: 0, ...(cublasLt && { cublasLt }) };
}
