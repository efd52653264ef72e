// A tokenizer.json at work: added tokens, normalizers, pre-tokenizers, model, post-processor, and the
// decoders on the way back. It follows the Rust library `tokenizers` id by id, except that text
// which the vocabulary cannot spell is an error unless it is asked for.
import { KeyheadsError } from "../errors.ts";
import { type AddedToken, AddedTokenFinder } from "./added-tokens.ts";
import { Bpe } from "./bpe.ts";
import { type ChatMessage, type ChatOptions, ChatTemplates } from "./chat-template.ts";
import { configuredTokens } from "./config-tokens.ts";
import { readTokenContent, type TokenContent } from "./content.ts";
import { byteOfToken, cleanUp, readDecoder, usesByteFallback } from "./decoders.ts";
import { type Normalizer, normalize, readNormalizers } from "./normalizers.ts";
import { Part, quote } from "./part.ts";
import { cut, type Piece, spanOf, wholeInput } from "./piece.ts";
import { type Affixes, readAffixes } from "./post-processor.ts";
import {
  asksForStart,
  type PreTokenizer,
  preTokenize,
  readPreTokenizers,
} from "./pre-tokenizers.ts";
import { TextStream } from "./text-stream.ts";
import type { TokenModel, Unknown } from "./token-model.ts";
import type { DecodeOptions, EncodeOptions, Tokenizer } from "./types.ts";
import { Unigram } from "./unigram.ts";
import { Vocabulary } from "./vocabulary.ts";
import { WordLevel, WordPiece } from "./word-models.ts";

type Span = [start: number, stop: number];

interface Encoded {
  readonly ids: number[];
  /** Empty unless they were asked for. */
  readonly spans: Span[];
}

/** Parsed tokenizer.json and tokenizer_config.json; `path` is for messages. */
export interface TokenizerFiles {
  readonly json: unknown;
  readonly path: string;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly configPath?: string;
  readonly templates?: ChatTemplates;
}

export class JsonTokenizer implements Tokenizer {
  readonly #vocabulary: Vocabulary;
  readonly #model: TokenModel;
  readonly #normalizers: readonly Normalizer[];
  readonly #preTokenizers: readonly PreTokenizer[];
  readonly #affixes: Affixes;
  readonly #join: (tokens: readonly string[]) => string;
  readonly #content: TokenContent;
  readonly #cleanUp: boolean;
  readonly #templates: ChatTemplates;
  readonly #special: ReadonlySet<string>;
  readonly #byteFallback: boolean;
  /** Whether origins are needed for the ids themselves. */
  readonly #traced: boolean;
  readonly #forms = new Map<AddedToken, string>();
  /** Added tokens looked for in the text as it is, and in normalized text. */
  readonly #asIs: AddedTokenFinder;
  readonly #normalized: AddedTokenFinder;

  /** Throws BAD_CHECKPOINT with file and part. */
  constructor({ json, path, config = {}, configPath = path, templates }: TokenizerFiles) {
    const part = new Part(json, path);
    this.#model = readModel(part.get("model"));
    this.#normalizers = readNormalizers(part.get("normalizer"));
    this.#preTokenizers = readPreTokenizers(part.get("pre_tokenizer"));
    this.#affixes = readAffixes(part.get("post_processor"));
    this.#join = readDecoder(part.get("decoder"));
    this.#content = readTokenContent(part.get("decoder"));
    this.#vocabulary = new Vocabulary(this.#model.vocabulary);
    const added = part.get("added_tokens");
    if (!added.missing) for (const token of added.list()) this.#vocabulary.add(token);
    const settings = new Part(config, configPath);
    for (const token of configuredTokens(settings, this.#vocabulary)) this.#vocabulary.add(token);
    this.#cleanUp = wantsCleanUp(settings, this.#model);
    this.#templates = templates ?? new ChatTemplates(path);
    const specialFirst = [...this.#vocabulary.added].sort(
      (a, b) => Number(b.special) - Number(a.special),
    );
    const forms = specialFirst.map((token) => [this.#formOf(token), token] as const);
    this.#asIs = new AddedTokenFinder(forms.filter(([, { normalized }]) => !normalized));
    this.#normalized = new AddedTokenFinder(forms.filter(([, { normalized }]) => normalized));
    this.#special = new Set(
      specialFirst.filter(({ special }) => special).map(({ content }) => content),
    );
    this.#byteFallback = usesByteFallback(part.get("decoder"));
    this.#traced = this.#normalizers.length > 0 && asksForStart(part.get("pre_tokenizer"));
  }

  get vocabSize(): number {
    return this.#vocabulary.size;
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    const { ids } = this.#encode(text, options, false);
    if (options.addSpecialTokens === false) return ids;
    const { before, after } = this.#affixes;
    return before.length + after.length === 0 ? ids : [before, ids, after].flat();
  }

  encodeWithOffsets(text: string, options: EncodeOptions = {}): { ids: number[]; spans: Span[] } {
    const { ids, spans } = this.#encode(text, options, true);
    if (options.addSpecialTokens === false) return { ids, spans };
    const { before, after } = this.#affixes;
    return {
      ids: [before, ids, after].flat(),
      spans: [
        ...before.map((): Span => [0, 0]),
        ...spans,
        ...after.map((): Span => [text.length, text.length]),
      ],
    };
  }

  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const text = this.#decode(ids, options);
    return this.#cleanUp ? cleanUp(text) : text;
  }

  #decode(ids: readonly number[], options: DecodeOptions): string {
    const { skipSpecialTokens = true, skipMissing = false } = options;
    const tokens: string[] = [];
    for (const id of ids) {
      const name = skipMissing ? this.#nameOrNone(id) : this.#name(id);
      if (name === undefined) continue;
      if (skipSpecialTokens && this.#special.has(name)) continue;
      tokens.push(name);
    }
    return this.#join(tokens);
  }

  textStream(before: readonly number[] = [], options: DecodeOptions = {}): TextStream {
    return new TextStream(
      {
        decode: (ids) => this.#decode(ids, options),
        open: (id) => this.#byteFallback && byteOfToken(this.#nameOrNone(id) ?? "") !== undefined,
        cleanUp: this.#cleanUp ? cleanUp : undefined,
      },
      before,
    );
  }

  tokenText(id: number): string {
    const name = this.#name(id);
    const added = this.#vocabulary.addedToken(id);
    if (added) return added.content;
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.#content(name));
    return text.includes("\uFFFD") ? name : text;
  }

  get hasChatTemplate(): boolean {
    return this.#templates.names.length > 0;
  }

  applyChatTemplate(messages: readonly ChatMessage[], options: ChatOptions = {}): string {
    return this.#templates.render(messages, options);
  }

  encodeChat(messages: readonly ChatMessage[], options: ChatOptions = {}): number[] {
    return this.encode(this.applyChatTemplate(messages, options), { addSpecialTokens: false });
  }

  #encode(text: string, options: EncodeOptions, trace: boolean): Encoded {
    checkWellFormed(text);
    const { splitSpecialTokens = false, keepUnknown = false } = options;
    const plain = splitSpecialTokens ? (token: AddedToken) => token.special : () => false;
    const encoded: Encoded = { ids: [], spans: [] };
    // What is unknown can only be named, and judged, where its place in the text is known.
    let again = false;
    const add = (id: number, piece: Piece, start: number, stop: number) => {
      encoded.ids.push(id);
      if (piece.origins) encoded.spans.push(spanOf(piece.origins, start, stop));
    };
    const spell = (piece: Piece) => {
      const tokens = this.#model.tokenize(piece.text);
      if (!keepUnknown && tokens.unknown.length > 0) {
        if (piece.origins) checkUnknown(text, piece, tokens.unknown);
        else again = true;
      }
      for (let i = 0; i < tokens.ids.length; ++i) {
        const [start, stop] = [tokens.starts[i] as number, tokens.stops[i] as number];
        add(tokens.ids[i] as number, piece, start, stop);
      }
    };
    const each = (piece: Piece, finder: AddedTokenFinder, rest: (between: Piece) => void): void => {
      for (const { start, stop, token } of finder.find(piece.text, plain)) {
        const part = cut(piece, start, stop);
        if (token) add(token.id, part, 0, part.text.length);
        else rest(part);
      }
    };
    each(wholeInput(text, trace || this.#traced), this.#asIs, (section) => {
      each(normalize(section, this.#normalizers), this.#normalized, (between) => {
        preTokenize(between, this.#preTokenizers, spell);
      });
    });
    return again ? this.#encode(text, options, true) : encoded;
  }

  #formOf(token: AddedToken): string {
    if (!token.normalized) return token.content;
    const known = this.#forms.get(token);
    if (known !== undefined) return known;
    const form = normalize(wholeInput(token.content, false), this.#normalizers).text;
    this.#forms.set(token, form);
    return form;
  }

  /** What decoding sees: an added token that is looked for in normalized text is normalized too. */
  #nameOrNone(id: number): string | undefined {
    const added = this.#vocabulary.addedToken(id);
    return added ? this.#formOf(added) : this.#vocabulary.name(id);
  }

  #name(id: number): string {
    const name = this.#nameOrNone(id);
    if (name !== undefined) return name;
    throw new KeyheadsError(
      "UNKNOWN_TOKEN",
      `the tokenizer has no token with id ${id}; its ids are 0 to ${this.vocabSize - 1}`,
    );
  }
}

const models: Readonly<Record<string, (part: Part) => TokenModel>> = {
  BPE: (part) => new Bpe(part),
  Unigram: (part) => new Unigram(part),
  WordPiece: (part) => new WordPiece(part),
  WordLevel: (part) => new WordLevel(part),
};

/** Files older than the field "type" are told by what else they have. */
function readModel(part: Part): TokenModel {
  if (part.get("type").missing) {
    if (!part.get("merges").missing) return new Bpe(part);
    if (Array.isArray(part.get("vocab").value)) return new Unigram(part);
  }
  return part.pick(models, "model")(part);
}

/** As transformers 5 does: never for BPE, whose text it would damage, unless the file insists. */
function wantsCleanUp(config: Part, model: TokenModel): boolean {
  if (!config.get("clean_up_tokenization_spaces").boolean(false)) return false;
  const insists = "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output";
  return model.type !== "BPE" || config.get(insists).boolean(false);
}

/** Throws UNKNOWN_TOKEN with the characters. White space that the model drops is let go. */
function checkUnknown(text: string, { origins }: Piece, unknown: readonly Unknown[]): void {
  for (const { start, stop, dropped } of unknown) {
    const characters = origins ? text.slice(...spanOf(origins, start, stop)) : "";
    if (dropped && characters.trim() === "") continue;
    throw new KeyheadsError(
      "UNKNOWN_TOKEN",
      `the tokenizer has no token for ${JSON.stringify(characters)} in ${JSON.stringify(quote(text))}`,
    );
  }
}

/** Half a surrogate pair is no character, and no bytes stand for it. */
function checkWellFormed(text: string): void {
  const at = text.search(/\p{Surrogate}/u);
  if (at < 0) return;
  throw new KeyheadsError(
    "BAD_ARGUMENT",
    `the text has half a surrogate pair (U+${text.charCodeAt(at).toString(16).toUpperCase()}) at UTF-16 unit ${at}, which is no character; repair it, e.g. with text.toWellFormed()`,
  );
}
