import { setTimeout as sleep } from 'node:timers/promises';
import type { ThinPool } from '../pool/thin-pool.js';

/** Writes Docker's JSON files from the pool: `MetadataProjection` (docker/projection.ts). */
export type WriteProjection = (pool: ThinPool) => Promise<void>;

/** Milliseconds for which changes are gathered. */
const FOLLOW_MS = 10;

/**
 * Keeps `<root>/metadata` behind the pool: never two writes at once, and a request that comes while one runs
 * is served by one more after it. A failure is told and left to the next change: the pool is the truth, the
 * files are its shadow.
 */
export class ProjectionWriter {
  readonly #pool: ThinPool;
  readonly #write: WriteProjection;
  readonly #onFailure: (error: unknown) => void;
  #last: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;
  #following: Promise<void> | undefined;

  constructor(pool: ThinPool, write: WriteProjection, onFailure: (error: unknown) => void) {
    this.#pool = pool;
    this.#write = write;
    this.#onFailure = onFailure;
  }

  /**
   * The files show within some milliseconds what the pool holds now. A change of a device does not wait
   * for them. Changes in quick succession share a write.
   */
  follow(): void {
    this.#following ??= sleep(FOLLOW_MS).then(() => {
      this.#following = undefined;
      return this.refresh();
    });
  }

  /** Resolves when the files show all that `follow` was called for. */
  async settled(): Promise<void> {
    await this.#following;
    await this.#last;
  }

  /**
   * Resolves when the files show what the pool held at the time of the call, or that was found impossible.
   * Never rejects.
   */
  refresh(): Promise<void> {
    if (this.#queued !== undefined) return this.#queued;
    const turn = this.#last.then(async () => {
      this.#queued = undefined;
      await this.#write(this.#pool).catch((error: unknown) => {
        this.#onFailure(error);
      });
    });
    this.#last = turn;
    this.#queued = turn;
    return turn;
  }
}
