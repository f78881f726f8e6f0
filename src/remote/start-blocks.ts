import type { Digest } from './digest.js';

/** Milliseconds for which untaken blocks of a recorded start are kept. */
const START_MS = 60_000;

/**
 * Blocks of recorded starts as they lie in their packs, until they are taken. By their names, whichever image
 * they came with: the layers of one image share them.
 */
export class StartBlocks {
  readonly #stored = new Map<Digest, Uint8Array>();

  keep(blocks: ReadonlyMap<Digest, Uint8Array>): void {
    for (const [name, stored] of blocks) this.#stored.set(name, stored);
    setTimeout(() => {
      for (const [name, stored] of blocks) if (this.#stored.get(name) === stored) this.#stored.delete(name);
    }, START_MS).unref();
  }

  take(name: Digest): Uint8Array | undefined {
    const stored = this.#stored.get(name);
    this.#stored.delete(name);
    return stored;
  }
}
