// Tokenizers by a name that a file can have: those of reference.json, and the published ones.
import { publishedTokenizers } from "./published.ts";
import { references } from "./references.ts";

export function everyTokenizer(): ReadonlyMap<string, () => object> {
  const named = [
    ...references.map(({ name, tokenizer }) => [name, () => tokenizer] as const),
    ...publishedTokenizers().map(({ name, json }) => [name, () => json() as object] as const),
  ];
  return new Map(named.map(([name, json]) => [name.replace(/[^A-Za-z0-9]+/g, "-"), json]));
}
