// Tokenizers by a name that a file can have: those of reference.json, and the published ones.
import { readFileSync } from "node:fs";
import { publishedTokenizers } from "./published.ts";

interface Reference {
  readonly name: string;
  readonly tokenizer: object;
}

export function everyTokenizer(): ReadonlyMap<string, () => object> {
  const references: Reference[] = JSON.parse(
    readFileSync(new URL("reference.json", import.meta.url), "utf8"),
  );
  const named = [
    ...references.map(({ name, tokenizer }) => [name, () => tokenizer] as const),
    ...publishedTokenizers().map(({ name, json }) => [name, () => json() as object] as const),
  ];
  return new Map(named.map(([name, json]) => [name.replace(/[^A-Za-z0-9]+/g, "-"), json]));
}
