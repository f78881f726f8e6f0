import type { RemoteStore } from './remote-store.js';

interface Shared {
  readonly store: Promise<RemoteStore>;
  users: number;
}

/** A store, until it is released. */
export interface StoreLease<S extends RemoteStore = RemoteStore> {
  readonly store: S;
  release(): void;
}

/** Stores by their place: images of one place have its connections and its login together. */
export class SharedStores {
  readonly #shared = new Map<string, Shared>();

  /** Errors: those of `open`. */
  async take(key: string, open: () => Promise<RemoteStore>): Promise<StoreLease> {
    const shared = this.#shared.get(key) ?? { store: open(), users: 0 };
    this.#shared.set(key, shared);
    shared.users++;
    let isReleased = false;
    const release = (): void => {
      if (isReleased) return;
      isReleased = true;
      if (--shared.users > 0) return;
      if (this.#shared.get(key) === shared) this.#shared.delete(key);
      shared.store.then(
        (store) => store.close(),
        () => undefined,
      );
    };
    try {
      return { store: await shared.store, release };
    } catch (error) {
      release();
      throw error;
    }
  }
}
