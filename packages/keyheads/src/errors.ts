/** What went wrong, for programs; the command line turns codes into exit codes (docs/cli.md). */
export type ErrorCode =
  | "USAGE"
  | "BAD_ARGUMENT"
  | "BAD_CHECKPOINT"
  | "BAD_ITEMS"
  | "UNKNOWN_ARCHITECTURE"
  | "UNKNOWN_HOOK"
  | "NO_TOKENIZER"
  | "NO_CHAT_TEMPLATE"
  | "UNKNOWN_TOKEN"
  | "OUTPUT_EXISTS"
  | "NO_DEVICE"
  | "DEVICE_FAILED"
  | "NO_BINARY"
  | "STALE_BINARY"
  | "OUT_OF_MEMORY"
  | "VERIFICATION_FAILED"
  | "CANCELLED"
  | "DISPOSED"
  | "ENGINE_BUSY"
  | "HOOK_FAILED"
  | "NON_FINITE"
  | "WRITE_FAILED"
  | "INTERNAL";

/** Every error that keyheads throws on purpose: the value, what was expected, the remedy. */
export class KeyheadsError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "KeyheadsError";
    this.code = code;
  }
}

/** Errors made on the engine thread have no JavaScript stack. This gives them the caller's. */
export async function callNative<T>(run: () => Promise<T>): Promise<T> {
  const here = new Error();
  try {
    return await run();
  } catch (cause) {
    const { code = "INTERNAL", message } = cause as { code?: ErrorCode; message: string };
    const error = new KeyheadsError(code, message, { cause });
    error.stack = [
      `KeyheadsError [${code}]: ${message}`,
      ...(here.stack ?? "").split("\n").slice(1),
    ].join("\n");
    throw error;
  }
}
