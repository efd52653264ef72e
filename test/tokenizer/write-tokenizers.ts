// Writes tokenizers for make_fuzz.py: `npx tsx test/tokenizer/write-tokenizers.ts OUT`.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { everyTokenizer } from "./every-tokenizer.ts";

const [out] = process.argv.slice(2);
if (out === undefined) throw new Error("write-tokenizers.ts OUT");
mkdirSync(out, { recursive: true });
/** What the Rust library demands of a file. */
const empty = {
  ...{ version: "1.0", truncation: null, padding: null, added_tokens: [] },
  ...{ normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null },
};
for (const [name, json] of everyTokenizer()) {
  writeFileSync(join(out, `${name}.json`), JSON.stringify({ ...empty, ...json() }));
}
