// Tokens to text while they come: gives a piece of text once no later token can change it, so that
// the pieces put together are the text of all tokens.

const broken = "\ufffd";

/** What a stream must know of its tokenizer. */
export interface StreamSource {
  readonly decode: (ids: readonly number[]) => string;
  /** Whether a token's text depends on the next one: a byte, which may be part of a character. */
  readonly open: (id: number) => boolean;
  /** Applied to the whole text at last, if the tokenizer tidies up spaces. */
  readonly cleanUp?: ((text: string) => string) | undefined;
}

export class TextStream {
  readonly #source: StreamSource;
  /** The last tokens whose text is out: decoders look at neighbours, and at the first token. */
  #context: number[];
  #waiting: number[] = [];
  #untidy = "";

  /** `before` are tokens whose text is not given. */
  constructor(source: StreamSource, before: readonly number[] = []) {
    this.#source = source;
    this.#context = [...before];
  }

  /** The next token; gives the text that is certain now, perhaps none. */
  push(id: number): string {
    this.#waiting.push(id);
    if (this.#source.open(id)) return "";
    const text = this.#fresh();
    // A token that shows nothing is no context for the next one.
    if (text === "" || text.endsWith(broken)) return "";
    this.#context = this.#waiting;
    this.#waiting = [];
    return this.#tidy(text);
  }

  /** What is left at the end, broken characters included. */
  end(): string {
    const text = this.#fresh();
    this.#context = [...this.#context, ...this.#waiting];
    this.#waiting = [];
    const { cleanUp } = this.#source;
    if (!cleanUp) return text;
    const rest = cleanUp(this.#untidy + text);
    this.#untidy = "";
    return rest;
  }

  #fresh(): string {
    const { decode } = this.#source;
    const known = decode(this.#context).length;
    return decode([...this.#context, ...this.#waiting]).slice(known);
  }

  /** Keeps back what tidying may still join: it touches no space between two plain letters. */
  #tidy(text: string): string {
    const { cleanUp } = this.#source;
    if (!cleanUp) return text;
    this.#untidy += text;
    const cut = this.#untidy.search(/(?<=[A-Za-z0-9]) [a-ce-mo-z](?!.*[A-Za-z0-9] [a-ce-mo-z])/s);
    if (cut < 0) return "";
    const sure = cleanUp(this.#untidy.slice(0, cut));
    this.#untidy = this.#untidy.slice(cut);
    return sure;
  }
}
