// The tokenizer of a pretrained model, as a tokenizer.json: byte-level BPE that splits text as
// Llama-3 does, with every number from 0 to 999 as one token.
import { KeyheadsError } from "../errors.ts";
import { byteAlphabet, byteText } from "../tokenizer/byte-level.ts";
import { compilePattern } from "../tokenizer/pattern.ts";
import { type Merge, trainBpe } from "../tokenizer/train-bpe.ts";

export const beginToken = "<|begin_of_text|>";
export const endToken = "<|end_of_text|>";

/** The pattern of Llama-3: digits are grouped by up to three. */
const split =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Numbers of more than one digit; single digits are bytes. */
const numbers = Array.from({ length: 990 }, (_, i) => String(i + 10));

/** Smallest vocabulary: special tokens, bytes and numbers. */
export const leastVocabulary = 2 + byteAlphabet.length + numbers.length;

/** Trains on texts. Throws BAD_ARGUMENT for a vocabulary that does not hold bytes and numbers. */
export function makeTokenizer(texts: Iterable<string>, vocabulary: number): object {
  const room = vocabulary - leastVocabulary;
  if (!(Number.isInteger(room) && room >= 0)) {
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `a vocabulary of ${vocabulary} tokens: bytes, numbers and special tokens alone are ${leastVocabulary}`,
    );
  }
  const merges = trainBpe(countWords(texts), { merges: room });
  // Two pairs of symbols may join to the same token; then the vocabulary has room to spare.
  const words = [...new Set(merges.map(([left, right]) => left + right))];
  const tokens = [beginToken, endToken, ...byteAlphabet, ...numbers, ...words];
  return tokenizerJson(tokens, merges);
}

/** How often each word of the texts occurs, in the byte alphabet; numbers are not learned. */
function countWords(texts: Iterable<string>): Map<string, number> {
  const pattern = compilePattern(split);
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [word] of text.matchAll(pattern)) {
      if (!/\p{N}/u.test(word)) counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  return new Map(Array.from(counts, ([word, count]) => [byteText(word), count]));
}

function tokenizerJson(tokens: readonly string[], merges: readonly Merge[]): object {
  const added = [beginToken, endToken].map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const begin = { SpecialToken: { id: beginToken, type_id: 0 } };
  const first = { Sequence: { id: "A", type_id: 0 } };
  const second = { Sequence: { id: "B", type_id: 0 } };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: split }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [begin, first],
      pair: [begin, first, second],
      special_tokens: { [beginToken]: { id: beginToken, ids: [0], tokens: [beginToken] } },
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      // Numbers are tokens without merges of their own.
      ignore_merges: true,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}

/** tokenizer_config.json beside it. */
export const tokenizerConfig = {
  bos_token: beginToken,
  eos_token: endToken,
  tokenizer_class: "PreTrainedTokenizerFast",
  add_bos_token: true,
};
