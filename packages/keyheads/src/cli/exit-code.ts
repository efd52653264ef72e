import type { ErrorCode } from "../errors.ts";

/** Scripts depend on these numbers (docs/cli.md). */
const exitCodes: Readonly<Record<ErrorCode, number>> = {
  BAD_CHECKPOINT: 1,
  BAD_ITEMS: 1,
  UNKNOWN_ARCHITECTURE: 1,
  NO_TOKENIZER: 1,
  NO_CHAT_TEMPLATE: 1,
  UNKNOWN_TOKEN: 1,
  DISPOSED: 1,
  NON_FINITE: 1,
  WRITE_FAILED: 1,
  INTERNAL: 1,
  HOOK_FAILED: 1,
  USAGE: 2,
  BAD_ARGUMENT: 2,
  ENGINE_BUSY: 2,
  UNKNOWN_HOOK: 2,
  OUTPUT_EXISTS: 2,
  NO_DEVICE: 3,
  DEVICE_FAILED: 3,
  NO_BINARY: 3,
  STALE_BINARY: 3,
  OUT_OF_MEMORY: 4,
  VERIFICATION_FAILED: 5,
  CANCELLED: 130,
};

/** An error as the command line shows it. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly exitCode: number;
  /** Nobody threw it on purpose. */
  readonly unexpected: boolean;
}

export function toFailure(error: unknown): Failure {
  if (isAbort(error)) {
    return { code: "CANCELLED", message: "interrupted", exitCode: 130, unexpected: false };
  }
  const { code, message } = error instanceof Error ? (error as Error & { code?: string }) : {};
  if (error instanceof Error && code !== undefined && code in exitCodes) {
    const known = code as ErrorCode;
    const unexpected = known === "INTERNAL";
    return { code: known, message: error.message, exitCode: exitCodes[known], unexpected };
  }
  const system = systemFailure(code, message ?? String(error));
  return (
    system ?? { code: "INTERNAL", message: message ?? String(error), exitCode: 1, unexpected: true }
  );
}

/** Errors of the operating system that reach a user unchanged, such as a file that is not there. */
function systemFailure(code: string | undefined, message: string): Failure | undefined {
  if (code === undefined || !/^E[A-Z]+$/.test(code)) return undefined;
  const full = code === "ENOSPC" || code === "EDQUOT";
  const ours: ErrorCode = full ? "WRITE_FAILED" : code === "ENOENT" ? "USAGE" : "INTERNAL";
  const remedy = full ? "; free some space and run it again" : "";
  return { code: ours, message: message + remedy, exitCode: exitCodes[ours], unexpected: false };
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
