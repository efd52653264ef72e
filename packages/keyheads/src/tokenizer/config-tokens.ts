// Tokens that tokenizer_config.json adds to those of tokenizer.json, or whose flags it changes, in
// the order in which transformers 5 adds them.
import type { Part } from "./part.ts";
import type { Vocabulary } from "./vocabulary.ts";

const named = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map((name) => `${name}_token`);

/** Each as an entry of `added_tokens`. */
export function configuredTokens(config: Part, vocabulary: Vocabulary): Part[] {
  const table = config.get("added_tokens_decoder");
  const listed = table.missing
    ? []
    : Object.keys(table.object())
        .sort((a, b) => Number(a) - Number(b))
        .map((id) => table.get(id));
  const known = new Set([...vocabulary.added].map(({ content }) => content));
  for (const token of listed) known.add(token.get("content").string());
  const result = [...listed];
  for (const part of specialTokens(config)) {
    const token = typeof part.value === "string" ? plainToken(part) : part;
    const content = token.get("content").string();
    if (known.has(content)) continue;
    known.add(content);
    result.push(special(token));
  }
  return result;
}

/** The text of a token such as bos_token, which is a string or an object. */
export function specialTokenText(config: Part, name: string): string | undefined {
  const token = config.get(name);
  if (token.missing) return undefined;
  return typeof token.value === "string" ? token.value : token.get("content").string();
}

/** Names and texts of all special tokens of the configuration that have a name. */
export function namedSpecialTokens(config: Part): Map<string, string> {
  const texts = new Map<string, string>();
  const names = Object.keys(config.object()).filter((key) => key.endsWith("_token"));
  for (const name of new Set([...named, ...names])) {
    const { value } = config.get(name);
    if (typeof value !== "string" && (typeof value !== "object" || value === null)) continue;
    texts.set(name, specialTokenText(config, name) as string);
  }
  return texts;
}

function specialTokens(config: Part): Part[] {
  const own = Object.keys(config.object()).filter(
    (key) =>
      key.endsWith("_token") && !named.includes(key) && typeof config.get(key).value === "string",
  );
  const extra = config.get("extra_special_tokens");
  const more = extra.missing ? config.get("additional_special_tokens") : extra;
  const listed = more.missing
    ? []
    : Array.isArray(more.value)
      ? more.list()
      : Object.keys(more.object()).map((key) => more.get(key));
  return [...[...named, ...own].map((key) => config.get(key)), ...listed].filter(
    (part) => !part.missing,
  );
}

const plainToken = (part: Part) => part.with({ content: part.value, normalized: false });
const special = (part: Part) => part.with({ ...part.object(), special: true });
