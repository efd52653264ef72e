// The tokens of a tokenizer: those of its model, and those that were added to them.
import { type AddedToken, readAddedToken } from "./added-tokens.ts";
import type { Part } from "./part.ts";

/** Largest id that a vocabulary may use; beyond it a file is taken for broken. */
const largestId = 2 ** 24;

/** `{ token: id }` of a model. */
export function readVocabulary(part: Part): ReadonlyMap<string, number> {
  const vocabulary = new Map<string, number>();
  for (const [token, id] of Object.entries(part.object())) {
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) > largestId) {
      return part.fail(`${JSON.stringify(token)} has the id ${JSON.stringify(id)}`);
    }
    vocabulary.set(token, id as number);
  }
  return vocabulary;
}

/** Ids to tokens and back. Later added tokens replace earlier ones of the same text. */
export class Vocabulary {
  readonly #model: ReadonlyMap<string, number>;
  readonly #added = new Map<number, AddedToken>();
  readonly #addedIds = new Map<string, number>();
  #nextId: number;
  readonly #tokens: (string | undefined)[] = [];

  constructor(model: ReadonlyMap<string, number>) {
    this.#model = model;
    this.#nextId = model.size;
    for (const [token, id] of model) this.#tokens[id] = token;
  }

  /** Largest id + 1. */
  get size(): number {
    return this.#tokens.length;
  }

  get added(): Iterable<AddedToken> {
    return this.#added.values();
  }

  addedToken(id: number): AddedToken | undefined {
    return this.#added.get(id);
  }

  name(id: number): string | undefined {
    return this.#tokens[id];
  }

  /**
   * Adds a token as the reference does: a text that is in the vocabulary keeps its id, a new one
   * gets the next id, whatever the file says.
   */
  add(part: Part): void {
    const content = part.get("content").string();
    if (content === "") return;
    const id = this.#addedIds.get(content) ?? this.#model.get(content) ?? this.#nextId;
    this.#nextId = Math.max(this.#nextId, id + 1);
    this.#added.set(id, readAddedToken(part, id));
    this.#addedIds.set(content, id);
    this.#tokens[id] = content;
  }
}
