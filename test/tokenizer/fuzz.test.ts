// Random text through tokenizers, beside what the Rust library made of it: the cases of the folder
// random, those of published tokenizers where they are, or those of KEYHEADS_TOKENIZER_CASES, a folder
// that make_fuzz.py wrote.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { JsonTokenizer } from "../../packages/keyheads/src/tokenizer/json-tokenizer.ts";
import { everyTokenizer } from "./every-tokenizer.ts";
import { root } from "./published.ts";
import type { Case } from "./references.ts";

const given = process.env.KEYHEADS_TOKENIZER_CASES;
const folders =
  given === undefined
    ? [fileURLToPath(new URL("random", import.meta.url)), join(root, "random")]
    : [given];
const tokenizers = everyTokenizer();
const ending = ".cases.jsonl";
const files = folders
  .filter((folder) => existsSync(folder))
  .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
  .filter((file) => file.endsWith(ending))
  .map((file) => ({ name: basename(file, ending), file }));

const same = (a: readonly number[], b: readonly number[]) =>
  a.length === b.length && a.every((id, i) => id === b[i]);

describe("random text", () => {
  it.each(files)("$name", { timeout: 600_000 }, ({ name, file }) => {
    const own = file.replace(ending, ".json");
    const json = existsSync(own) ? JSON.parse(readFileSync(own, "utf8")) : tokenizers.get(name)?.();
    const tokenizer = new JsonTokenizer({ json, path: name });
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    const wrong: string[] = [];
    const check = (what: string, input: unknown, ok: () => boolean) => {
      let why = "differs";
      try {
        if (ok()) return;
      } catch (error) {
        why = String(error);
      }
      wrong.push(`${what} of ${JSON.stringify(input)}: ${why}`);
    };
    for (const line of lines) {
      const { text, ids, plain, shown, whole, without }: Case = JSON.parse(line);
      const asText = { keepUnknown: true, addSpecialTokens: false, splitSpecialTokens: true };
      check("ids", text, () => same(tokenizer.encode(text, { keepUnknown: true }), ids));
      check("plain ids", text, () => same(tokenizer.encode(text, asText), plain));
      check("spans", text, () => {
        const found = tokenizer.encodeWithOffsets(text, { keepUnknown: true });
        return (
          same(found.ids, ids) &&
          found.spans.every(([start, stop]) => 0 <= start && start <= stop && stop <= text.length)
        );
      });
      check("text", shown, () => tokenizer.decode(shown, { skipSpecialTokens: false }) === whole);
      check("text without special tokens", shown, () => tokenizer.decode(shown) === without);
      check("streamed text", shown, () => {
        const stream = tokenizer.textStream();
        return shown.map((id) => stream.push(id)).join("") + stream.end() === without;
      });
    }
    expect(wrong.slice(0, 20), `${wrong.length} of ${lines.length} texts`).toEqual([]);
  });
});
