/** Entry point: runs the command line, reports failures, flushes stdout and ends the process. */
import { schemaVersion } from "../results.ts";
import { version } from "../version.ts";
import { type Failure, toFailure } from "./exit-code.ts";
import { runProgram } from "./program.ts";

function report(failure: Failure, error: unknown, json: boolean): void {
  const red = process.stderr.isTTY && !process.env.NO_COLOR;
  const prefix = red ? "\u001b[31merror:\u001b[39m" : "error:";
  process.stderr.write(`${prefix} ${failure.message}\n`);
  if (failure.unexpected) {
    process.stderr.write("  this is a bug; KEYHEADS_DEBUG=1 shows where it happened\n");
  }
  if (process.env.KEYHEADS_DEBUG === "1" && error instanceof Error) {
    process.stderr.write(`${error.stack}\n`);
  }
  if (json) {
    const { code, message } = failure;
    process.stdout.write(`${JSON.stringify({ schemaVersion, error: { code, message } })}\n`);
  }
}

async function main(argv: readonly string[]): Promise<number> {
  try {
    return await runProgram(argv, version);
  } catch (error) {
    const failure = toFailure(error);
    report(failure, error, argv.includes("--json"));
    return failure.exitCode;
  }
}

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? 0 : 1);
});

const code = await main(process.argv.slice(2));
process.stdout.write("", () => process.exit(code));
