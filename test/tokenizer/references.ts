// What the Rust library makes of text, written by make_reference.py.
import { readFileSync } from "node:fs";

export interface Case {
  readonly text: string;
  readonly ids: number[];
  /** Without the tokens around the text, special tokens in it read as text. */
  readonly plain: number[];
  /** Ids, and their text with special tokens and without. */
  readonly shown: number[];
  readonly whole: string;
  readonly without: string;
}

export interface Reference {
  readonly name: string;
  readonly tokenizer: object;
  readonly cases: readonly Case[];
}

export const references: readonly Reference[] = JSON.parse(
  readFileSync(new URL("reference.json", import.meta.url), "utf8"),
);
