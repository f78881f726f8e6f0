import { threadInts } from './dirty-map.js';

/** What the threads of a process share of the syncs of one file. */
export interface SyncMemory {
  /** One word: whether a sync that others may wait for is under way. */
  readonly busy: Int32Array;
  /** Up to where things were done when it began; of the last one, if none is under way. */
  readonly began: BigInt64Array;
}

const FREE = 0;
const BUSY = 1;

export function syncMemory(): SyncMemory {
  return { busy: threadInts(1), began: new BigInt64Array(new SharedArrayBuffer(8)) };
}

/**
 * The sync of a file that one thread waits for, told to the others, so that what it covers is synced once.
 * Positions count what was done to the file, and only grow.
 */
export class SyncUnderWay {
  readonly #memory: SyncMemory;

  constructor(memory: SyncMemory) {
    this.#memory = memory;
  }

  /** Runs `sync`, which covers what was done before the position. Others can wait for one at a time. */
  lead(position: number, sync: () => void): void {
    const { busy, began } = this.#memory;
    if (Atomics.compareExchange(busy, 0, FREE, BUSY) !== FREE) {
      sync();
      return;
    }
    try {
      // Others that see the earlier value meanwhile take it for a sync that does not serve them.
      Atomics.store(began, 0, BigInt(position));
      sync();
    } finally {
      Atomics.store(busy, 0, FREE);
      Atomics.notify(busy, 0);
    }
  }

  /**
   * Waits for the end of a sync that is under way, if it covers the position.
   * @param patience the most to wait, in milliseconds
   */
  follow(position: number, patience = Infinity): void {
    if (this.#covers(position)) Atomics.wait(this.#memory.busy, 0, BUSY, patience);
  }

  /** As `follow`, on a thread that must not block. */
  async followInTurns(position: number): Promise<void> {
    if (this.#covers(position)) await Atomics.waitAsync(this.#memory.busy, 0, BUSY).value;
  }

  #covers(position: number): boolean {
    const { busy, began } = this.#memory;
    return Atomics.load(busy, 0) === BUSY && Number(Atomics.load(began, 0)) >= position;
  }
}
