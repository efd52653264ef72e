// The order of the items, a function of the seed and the epoch alone: a resumed run needs no
// state of a generator to go on as if it had not stopped.
import { rng } from "../statistics/rng.ts";

/** The items of every update: epoch after epoch, each shuffled anew; an epoch's last may be short. */
export class ItemOrder {
  readonly items: number;
  readonly perUpdate: number;
  readonly seed: number;
  #epoch = -1;
  #order: readonly number[] = [];

  constructor(items: number, perUpdate: number, seed: number) {
    this.items = items;
    this.perUpdate = perUpdate;
    this.seed = seed;
  }

  get updatesPerEpoch(): number {
    return Math.ceil(this.items / this.perUpdate);
  }

  /** Items of update `step`, from 0. */
  at(step: number): readonly number[] {
    const epoch = Math.floor(step / this.updatesPerEpoch);
    if (epoch !== this.#epoch) {
      const all = Array.from({ length: this.items }, (_, index) => index);
      // Two different generators for (seed, epoch) and (seed + 1, epoch - 1).
      this.#order = rng(rng(this.seed).int(2 ** 32) + epoch).shuffle(all);
      this.#epoch = epoch;
    }
    const start = (step % this.updatesPerEpoch) * this.perUpdate;
    return this.#order.slice(start, start + this.perUpdate);
  }
}
