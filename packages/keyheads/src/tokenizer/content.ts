// The bytes of text that a token stands for, by the conventions of tokenizer.json: byte-level
// alphabets (GPT-2, Llama 3), "▁" for a space and <0x0A> for a byte (SentencePiece), or plain text.

export interface TokenContent {
  /** UTF-8 bytes, perhaps part of a character. */
  bytes(token: string): Uint8Array;
  /** One character of the byte-level alphabet for each byte; empty in other schemes. */
  readonly alphabet: readonly string[];
}

/** Reads the scheme from the decoder of a parsed tokenizer.json. */
export function tokenContent(json: TokenizerJson): TokenContent {
  const decoders = components(json.decoder);
  const encoder = new TextEncoder();
  if (decoders.some(({ type }) => type === "ByteLevel")) {
    const byteOf = new Map(byteAlphabet.map((character, byte) => [character, byte]));
    return {
      alphabet: byteAlphabet,
      bytes: (token) => {
        const bytes = [...token].map((character) => byteOf.get(character));
        // A token that is not written in the alphabet was added as plain text.
        return bytes.includes(undefined)
          ? encoder.encode(token)
          : Uint8Array.from(bytes as number[]);
      },
    };
  }
  const fallback = decoders.some(({ type }) => type === "ByteFallback");
  const space = decoders.map(spaceMark).find((mark) => mark !== undefined);
  return {
    alphabet: [],
    bytes: (token) => {
      const byte = fallback ? /^<0x([0-9A-F]{2})>$/i.exec(token) : null;
      if (byte) return Uint8Array.of(Number.parseInt(byte[1] as string, 16));
      return encoder.encode(space === undefined ? token : token.replaceAll(space, " "));
    },
  };
}

/** The parts of tokenizer.json that keyheads looks at itself. */
export interface TokenizerJson {
  readonly decoder?: Component | null;
  readonly pre_tokenizer?: Component | null;
  readonly model?: {
    readonly type?: string;
    readonly unk_token?: string | null;
    readonly byte_fallback?: boolean;
  };
}
export interface Component {
  readonly type?: string;
  readonly decoders?: readonly Component[];
  readonly pretokenizers?: readonly Component[];
  readonly behavior?: string;
  readonly invert?: boolean;
  readonly replacement?: string;
  readonly content?: string;
  readonly pattern?: { readonly String?: string };
}

/** A component and, if it is a sequence, its parts. */
export function components(component: Component | null | undefined): Component[] {
  if (!component) return [];
  const parts = [...(component.decoders ?? []), ...(component.pretokenizers ?? [])];
  return [component, ...parts.flatMap(components)];
}

/** What stands for a space, if this decoder turns something into spaces. */
function spaceMark({ type, replacement, content, pattern }: Component): string | undefined {
  if (type === "Metaspace") return replacement ?? "▁";
  return type === "Replace" && content === " " ? pattern?.String : undefined;
}

/** GPT-2's bytes_to_unicode: printable bytes are themselves, the others follow from U+0100 on. */
const byteAlphabet: readonly string[] = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : next++);
  });
})();
