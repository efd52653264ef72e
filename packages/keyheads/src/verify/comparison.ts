import { KeyheadsError } from "../errors.ts";

/** The largest deviation of one group, and whether all of them were allowed. */
export interface Outcome {
  readonly maxAbs: number;
  readonly tolerance: number;
  readonly pass: boolean;
}

/** Collects deviations of found from expected values against a tolerance. */
export class Comparison {
  readonly tolerance: number;
  #maxAbs = 0;
  #pass = true;
  #count = 0;

  constructor(tolerance: number) {
    this.tolerance = tolerance;
  }

  /**
   * Compares element by element. `allowed` gives single elements another tolerance; those do not
   * count in maxAbs unless they exceed it.
   */
  add(
    found: ArrayLike<number>,
    expected: ArrayLike<number>,
    allowed?: (index: number) => number | undefined,
  ): void {
    if (found.length !== expected.length) {
      throw new KeyheadsError(
        "VERIFICATION_FAILED",
        `found ${found.length} values where ${expected.length} are expected`,
      );
    }
    for (let i = 0; i < expected.length; ++i) {
      const [x, y] = [found[i] as number, expected[i] as number];
      this.one(x === y ? 0 : Math.abs(x - y), allowed?.(i));
    }
  }

  /** One deviation. NaN counts as infinite. */
  one(deviation: number, allowed?: number): void {
    const size = Number.isNaN(deviation) ? Number.POSITIVE_INFINITY : deviation;
    ++this.#count;
    if (size > (allowed ?? this.tolerance)) this.#pass = false;
    else if (allowed !== undefined) return;
    this.#maxAbs = Math.max(this.#maxAbs, size);
  }

  get outcome(): Outcome {
    if (this.#count === 0) {
      throw new KeyheadsError("VERIFICATION_FAILED", "nothing was compared");
    }
    return { maxAbs: this.#maxAbs, tolerance: this.tolerance, pass: this.#pass };
  }
}
