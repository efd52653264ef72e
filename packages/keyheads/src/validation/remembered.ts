/** What was measured under a key; each key is measured once, however often it is asked for. */
export class Remembered<Request> {
  readonly #known = new Map<string, Float64Array>();
  readonly #measure: (missing: ReadonlyMap<string, Request>) => Promise<Iterable<Measured>>;

  /** @param measure gives the values of every key that it is given */
  constructor(measure: (missing: ReadonlyMap<string, Request>) => Promise<Iterable<Measured>>) {
    this.#measure = measure;
  }

  /** The values of each key, in the order that they are asked for in. */
  async get(asked: readonly (readonly [key: string, request: Request])[]): Promise<Float64Array[]> {
    const missing = new Map(asked.filter(([key]) => !this.#known.has(key)));
    if (missing.size > 0) {
      for (const [key, values] of await this.#measure(missing)) this.#known.set(key, values);
    }
    return asked.map(([key]) => this.#known.get(key) as Float64Array);
  }
}

export type Measured = readonly [key: string, values: Float64Array];
