import type { Placed } from './pack-uploader.js';
import type { Digest } from './digest.js';

/** Blocks that a push remembers at most: 64 GiB of them, 300 MB of memory. */
const MOST = 2 ** 20;

/** Blocks that are in the store, or on their way there, by their names; the first that came go first. */
export class KnownBlocks {
  readonly #places = new Map<Digest, Placed>();

  add(place: Placed): void {
    if (this.#places.size >= MOST)
      for (const oldest of this.#places.keys()) {
        this.#places.delete(oldest);
        break;
      }
    this.#places.set(place.name, place);
  }

  get(name: Digest): Placed | undefined {
    return this.#places.get(name);
  }
}
