import { cudaStatus } from "@keyheads/native";
import { KeyheadsError } from "./errors.ts";

/** The error of asking for CUDA: nothing falls back to the CPU in silence. */
export function noCuda(): KeyheadsError {
  return new KeyheadsError(
    "NO_DEVICE",
    `no CUDA device: ${cudaStatus().problem ?? "this version loads models on the CPU only"}; use "cpu"`,
  );
}
