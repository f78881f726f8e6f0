import { rangeOf } from '../format/keys.js';
import type { Superblock } from '../format/superblock.js';
import type { KeyValue } from '../store/key-value.js';
import { COMPACT_FROM } from './limits.js';

/**
 * LevelDB keeps deleted chunks on disk until it rewrites the tables they are in. Asking for that costs as
 * much as all chunks that stay, so it is done when those are fewer than the ones that went.
 */
export class Compactor {
  readonly #store: KeyValue;
  readonly #superblock: Pick<Superblock, 'kind' | 'blockSize'>;
  /** Chunks given back since the store was last compacted. */
  #freed = 0;
  #running: Promise<void> | undefined;

  constructor(store: KeyValue, superblock: Pick<Superblock, 'kind' | 'blockSize'>) {
    this.#store = store;
    this.#superblock = superblock;
  }

  /** Chunks were given back, and so many are in use. */
  note(freed: number, used: number): void {
    const { kind, blockSize } = this.#superblock;
    this.#freed += Math.max(0, freed);
    if (kind === 'direct' || this.#freed * blockSize < COMPACT_FROM || this.#freed < used) return;
    this.#freed = 0;
    this.#running ??= this.#store
      .compact?.({ gte: rangeOf('chunk').gte, lt: rangeOf('chunk-patch').lt })
      .catch(() => undefined)
      .finally(() => {
        this.#running = undefined;
      });
  }

  async idle(): Promise<void> {
    await this.#running;
  }
}
