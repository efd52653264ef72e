// A training document: text in pieces, each with the part that its tokens play in the loss.
import type { Rng } from "../../statistics/rng.ts";
import type { Tokenizer } from "../../tokenizer/types.ts";

/** given: drawn at random, so that nothing predicts it. answer: decided by what stands before it. */
export type PieceKind = "plain" | "given" | "answer";

export interface Piece {
  readonly text: string;
  readonly kind: PieceKind;
}

export type Document = readonly Piece[];

/** Draws one document. */
export type Source = (random: Rng) => Document;

/** Weight of a token in the loss, by its piece. */
export type LossWeights = Readonly<Record<PieceKind, number>>;

export interface EncodedDocument {
  readonly ids: readonly number[];
  /** One a token. */
  readonly weights: readonly number[];
}

export const plain = (text: string): Piece => ({ text, kind: "plain" });
export const given = (text: string | number): Piece => ({ text: String(text), kind: "given" });
export const answer = (text: string | number): Piece => ({ text: String(text), kind: "answer" });

export function textOf(document: Document): string {
  return document.map(({ text }) => text).join("");
}

/** Tokens without special ones, each with the weight of the piece that its last character is in. */
export function encodeDocument(
  document: Document,
  tokenizer: Pick<Tokenizer, "encodeWithOffsets">,
  weights: LossWeights,
): EncodedDocument {
  const stops: number[] = [];
  for (const { text } of document) stops.push((stops.at(-1) ?? 0) + text.length);
  const { ids, spans } = tokenizer.encodeWithOffsets(textOf(document), { addSpecialTokens: false });
  let piece = 0;
  return {
    ids,
    weights: spans.map(([, stop]) => {
      while (piece + 1 < stops.length && (stops[piece] as number) < stop) ++piece;
      return weights[(document[piece] as Piece).kind];
    }),
  };
}
