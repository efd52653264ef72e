/** Turns the command definitions into a commander program. */
import { Command, CommanderError } from "commander";
import { z } from "zod";
import { KeyheadsError } from "../errors.ts";
import { schemaVersion } from "../results.ts";
import { writeWhole } from "../run/write-whole.ts";
import { createCli } from "./cli.ts";
import { type AnyCommand, type CommandOutput, flagName, type Options } from "./command.ts";
import { loadCommand, summaries } from "./commands/index.ts";
import { readConfig } from "./config-file.ts";
import { interruptible } from "./interrupt.ts";
import { refuseExisting } from "./output-file.ts";

/** Runs one command line; resolves to the exit code. Throws what the command throws. */
export async function runProgram(argv: readonly string[], version: string): Promise<number> {
  let exitCode = 0;
  const program = new Command("keyheads")
    .description(
      "Find the attention heads and MLPs that do a task in a language model, prove it, and tune only those.",
    )
    .version(version)
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({ writeErr: () => {} })
    .addHelpText("after", "\nModels are Hugging Face folders, or names of bundled models.");
  const wanted = argv.find((argument) => !argument.startsWith("-"));
  for (const [name, summary] of Object.entries(summaries)) {
    const command = program.command(name).description(summary);
    if (name !== wanted) continue;
    const definition = await loadCommand(name);
    describe(command, definition);
    command.action(async (...parameters: unknown[]) => {
      const places = [definition.argument, definition.second];
      const [target = "", second = ""] = places.map((place, i) =>
        place ? ((parameters[i] as string | undefined) ?? "") : "",
      );
      exitCode = await execute(definition, { target, second }, command.opts());
    });
  }
  try {
    await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0;
    if (error.code === "commander.help") {
      process.stderr.write(program.helpInformation());
      return 2;
    }
    const hint = `see \`keyheads ${wanted ? `${wanted} ` : ""}--help\``;
    throw new KeyheadsError("USAGE", `${error.message.replace(/^error: /, "")}; ${hint}`);
  }
  return exitCode;
}

function describe(command: Command, definition: AnyCommand): void {
  const { argument, second, options, examples } = definition;
  for (const place of [argument, second]) {
    if (place) command.argument(place.usage, place.help);
  }
  for (const { flags, help } of Object.values(options)) command.option(flags, help);
  const shown = examples.map((example) => `  keyheads ${example}\n`).join("");
  command.addHelpText("after", `\nExamples:\n${shown}`);
}

async function execute(
  definition: AnyCommand,
  places: { readonly target: string; readonly second: string },
  flags: Record<string, unknown>,
): Promise<number> {
  const { name, options } = definition;
  const config =
    typeof flags.config === "string" ? await readConfig(flags.config, name, options) : {};
  const values = parseValues(options, { ...config, ...flags }) as Record<string, unknown>;
  const cli = createCli(interruptible(), values.json === true);
  const out = definition.outFile ? (values.out as string | undefined) : undefined;
  if (out !== undefined) refuseExisting(out, values.force === true);
  const output = await definition.run({ ...values, ...places } as never, cli);
  if (out !== undefined) await writeWhole(out, `${asJson(output)}\n`);
  process.stdout.write(cli.json ? `${asJson(output)}\n` : output.text());
  if (out !== undefined) cli.note(`written to ${out}`);
  return output.exitCode ?? 0;
}

/** Numbers that are not finite (what was not computed) become null, as JSON has no other way. */
function asJson({ data }: CommandOutput): string {
  return JSON.stringify({ schemaVersion, ...data });
}

function parseValues(options: Options, given: Record<string, unknown>) {
  for (const [key, { flags, schema }] of Object.entries(options)) {
    if (given[key] === undefined && !schema.safeParse(undefined).success) {
      throw new KeyheadsError("USAGE", `${flags} is required`);
    }
  }
  const shape = Object.fromEntries(
    Object.entries(options).map(([key, { schema }]) => [key, schema]),
  );
  const parsed = z.strictObject(shape).safeParse(given);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const flags = options[String(issue?.path[0])]?.flags;
  throw new KeyheadsError("USAGE", `--${flags ? flagName(flags) : "?"}: ${issue?.message}`);
}
