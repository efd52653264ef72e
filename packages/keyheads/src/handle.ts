// Native objects owned by JavaScript objects: freed by dispose(), by `using`, or, as a last resort,
// when the owner is collected.
import type { CacheHandle, ModelHandle, TrainerHandle } from "@keyheads/native";
import { engine } from "./engine.ts";
import { KeyheadsError } from "./errors.ts";

type NativeHandle = ModelHandle | CacheHandle | TrainerHandle;

const collected = new FinalizationRegistry<NativeHandle>((handle) => engine().dispose(handle));

export class OwnedHandle<H extends NativeHandle> {
  readonly #handle: H;
  readonly #what: string;
  #open = true;

  /** `what` names the owner in messages. */
  constructor(owner: object, handle: H, what: string) {
    this.#handle = handle;
    this.#what = what;
    collected.register(owner, handle, this);
  }

  /** Throws DISPOSED once dispose() was called. */
  get value(): H {
    if (this.#open) return this.#handle;
    throw new KeyheadsError("DISPOSED", `${this.#what} was disposed and cannot be used any more`);
  }

  dispose(): void {
    if (!this.#open) return;
    this.#open = false;
    collected.unregister(this);
    engine().dispose(this.#handle);
  }
}
