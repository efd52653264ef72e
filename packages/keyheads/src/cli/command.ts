/**
 * A command is data: its options (each with the schema of its value) and a function from their
 * values to plain data and a way to show it. The framework parses, prints and maps errors, so that
 * every command behaves alike.
 */
import type { z } from "zod";
import type { Cli } from "./cli.ts";

/** One option: how it is written (`--name <value>`, or `--name` for a flag) and what it takes. */
export interface Option<T> {
  readonly flags: string;
  readonly help: string;
  readonly schema: z.ZodType<T, unknown>;
}
export type Options = Readonly<Record<string, Option<unknown>>>;
export type Values<O extends Options> = {
  readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never;
};

export function option<S extends z.ZodType>(flags: string, help: string, schema: S) {
  return { flags, help, schema: schema as z.ZodType<z.infer<S>, unknown> };
}

/** What a command hands back. */
export interface CommandOutput {
  /** What --json prints, beside schemaVersion. */
  readonly data: object;
  /** What is printed without --json. */
  readonly text: () => string;
  readonly exitCode?: number;
}

export interface Argument {
  /** As usage shows it: `<model>`, or `[name]` where it may be left out. */
  readonly usage: string;
  readonly help: string;
}

export interface CommandDefinition<O extends Options> {
  readonly name: string;
  readonly summary: string;
  readonly argument?: Argument;
  /** What stands behind it. */
  readonly second?: Argument;
  readonly examples: readonly string[];
  readonly options: O;
  /** --out names a JSON file that gets what --json prints. */
  readonly outFile?: boolean;
  /** `target` and `second` are the positional arguments, empty where they are left out. */
  run(
    values: Values<O> & { readonly target: string; readonly second: string },
    cli: Cli,
  ): Promise<CommandOutput>;
}

export type AnyCommand = CommandDefinition<Options>;

/** Infers the types of the values from the options; their names are the flags in camel case. */
export function defineCommand<const O extends Options>(definition: CommandDefinition<O>) {
  for (const [key, { flags }] of Object.entries(definition.options)) {
    if (camelCase(flagName(flags)) !== key) {
      throw new Error(`${definition.name}: option ${flags} is filed under ${key}`);
    }
  }
  return definition as unknown as AnyCommand;
}

/** "--memory-budget <bytes>" is named "memory-budget". */
export function flagName(flags: string): string {
  const name = /--([a-z0-9-]+)/.exec(flags)?.[1];
  if (name === undefined) throw new Error(`${flags} has no long name`);
  return name;
}

export function camelCase(name: string): string {
  return name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
