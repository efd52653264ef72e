// What a model is pretrained on: documents of four kinds in fixed shares of the tokens, drawn anew
// for every update from (seed, update) alone, so that a resumed run needs no state of a generator.
import type { ArithmeticCard, Operation, WordTask } from "@keyheads/models";
import { type Rng, rng } from "../statistics/rng.ts";
import { hash } from "../tasks/hash.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import {
  arithmeticDocuments,
  nullOperatorDocuments,
  trainedArithmetic,
} from "./documents/arithmetic.ts";
import { type EncodedDocument, encodeDocument, type LossWeights } from "./documents/document.ts";
import { numberDocuments } from "./documents/numbers.ts";
import { wordDocuments } from "./documents/words.ts";

export const mixtureKinds = ["arithmetic", "numbers", "words", "text"] as const;
export type MixtureKind = (typeof mixtureKinds)[number];

/** What of a task card is trained on. */
export interface DocumentCard {
  readonly arithmetic: ArithmeticCard;
  readonly words: readonly WordTask[];
}

export interface MixtureOptions {
  readonly card: DocumentCard;
  /** Shares of the arithmetic problems. */
  readonly operations: Readonly<Record<Operation, number>>;
  readonly seed: number;
  /** Shares of the tokens; they add to 1. */
  readonly shares: Readonly<Record<MixtureKind, number>>;
  readonly weights: LossWeights;
  /** Tokens of an update, and of its longest sequence. */
  readonly tokens: number;
  readonly length: number;
  /** Share of the documents that are a sequence of their own; the others share one. */
  readonly alone: number;
}

/** What one update learns from: sequences of tokens, the first being the begin token. */
export interface TrainingBatch {
  readonly sequences: readonly (readonly number[])[];
  /** Of every token, how much its prediction counts; the first token's is not used. */
  readonly weights: readonly (readonly number[])[];
}

/** How documents of every kind but text are drawn. */
export function sourcesOf(
  { arithmetic, words }: DocumentCard,
  operations: MixtureOptions["operations"],
) {
  const trained = trainedArithmetic(arithmetic, operations);
  const plainNumbers = numberDocuments(arithmetic);
  const nothing = nullOperatorDocuments(trained);
  return {
    arithmetic: arithmeticDocuments(trained),
    numbers: (random: Rng) => (random.int(3) === 0 ? nothing(random) : plainNumbers(random)),
    words: wordDocuments(words),
  };
}

export class Mixture {
  readonly #options: MixtureOptions;
  readonly #tokenizer: Tokenizer;
  readonly #sources: ReturnType<typeof sourcesOf>;
  /** Tokens of the trained part of every text. */
  readonly #texts: readonly (readonly number[])[];
  readonly #begin: readonly number[];

  constructor(options: MixtureOptions, tokenizer: Tokenizer, texts: readonly string[]) {
    this.#options = options;
    this.#tokenizer = tokenizer;
    this.#sources = sourcesOf(options.card, options.operations);
    this.#begin = tokenizer.encode("");
    this.#texts = texts
      .map((text) => tokenizer.encode(text, { addSpecialTokens: false }))
      .filter((ids) => ids.length >= options.length);
  }

  /** The batch of update `step`, from 0. */
  at(step: number): TrainingBatch {
    const { seed, shares, tokens, alone } = this.#options;
    const random = rng(hash(seed, "update", step));
    const documents = mixtureKinds.flatMap((kind) => {
      const drawn: EncodedDocument[] = [];
      for (let left = shares[kind] * tokens; left > 0; ) {
        const document = this.#draw(kind, random);
        // The last one comes in with the chance that makes the share right on average.
        if (document.ids.length > left && random.next() * document.ids.length > left) break;
        drawn.push(document);
        left -= document.ids.length;
      }
      return drawn;
    });
    return this.#pack(random.shuffle(documents), (document) =>
      document.ids.length >= this.#options.length - 1 ? true : random.next() < alone,
    );
  }

  #draw(kind: MixtureKind, random: Rng): EncodedDocument {
    if (kind === "text") return this.#window(random);
    const { weights } = this.#options;
    return encodeDocument(this.#sources[kind](random), this.#tokenizer, weights);
  }

  /** A stretch of a text, every place being equally likely. */
  #window(random: Rng): EncodedDocument {
    const { length, weights } = this.#options;
    const size = length - this.#begin.length;
    const places = this.#texts.map((ids) => ids.length - size + 1);
    let at = random.int(places.reduce((sum, n) => sum + n, 0));
    const text = places.findIndex((n) => {
      if (at < n) return true;
      at -= n;
      return false;
    });
    const ids = (this.#texts[text] as readonly number[]).slice(at, at + size);
    return { ids, weights: ids.map(() => weights.plain) };
  }

  #pack(
    documents: readonly EncodedDocument[],
    isAlone: (document: EncodedDocument) => boolean,
  ): TrainingBatch {
    const { length } = this.#options;
    const rows: { ids: number[]; weights: number[] }[] = [];
    const begun = () => ({ ids: [...this.#begin], weights: this.#begin.map(() => 0) });
    let open = begun();
    for (const document of documents) {
      const alone = isAlone(document);
      let row = alone ? begun() : open;
      if (row.ids.length > this.#begin.length && row.ids.length + document.ids.length > length) {
        rows.push(row);
        row = open = begun();
      }
      row.ids.push(...document.ids.slice(0, length - row.ids.length));
      row.weights.push(...document.weights.slice(0, length - row.weights.length));
      if (alone) rows.push(row);
    }
    if (open.ids.length > this.#begin.length) rows.push(open);
    return { sequences: rows.map(({ ids }) => ids), weights: rows.map(({ weights }) => weights) };
  }
}
