import { threadInts } from './dirty-map.js';

/** What the threads of a process share of the syncs of one file. */
export interface SyncMemory {
  /** One word: whether a sync that others may wait for is under way. */
  readonly busy: Int32Array;
  /** Up to where things were done when it began; of the last one, if none is under way. */
  readonly began: BigInt64Array;
  /** One word for each sync that runs: its number, or 0. More than there are threads. */
  readonly running: Int32Array;
  /** One word: the number of the last sync. */
  readonly count: Int32Array;
}

const FREE = 0;
const BUSY = 1;
const MOST_RUNNING = 64;

export function syncMemory(): SyncMemory {
  return {
    busy: threadInts(1),
    began: new BigInt64Array(new SharedArrayBuffer(8)),
    running: threadInts(MOST_RUNNING),
    count: threadInts(1),
  };
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

  /**
   * Runs `sync`, and returns when all syncs that ran at its end have ended: the kernel tells one of them that
   * writing failed, and the others succeed without the data. So each is run like this, and notes its failure
   * where the others see it.
   */
  run(sync: () => void): void {
    const place = this.#enter();
    try {
      sync();
    } finally {
      this.#leave(place);
    }
    for (const { at, number } of this.#beside()) Atomics.wait(this.#memory.running, at, number);
  }

  /** As `run`, on a thread that must not block. */
  async runInTurns(sync: () => Promise<void>): Promise<void> {
    const place = this.#enter();
    try {
      await sync();
    } finally {
      this.#leave(place);
    }
    for (const { at, number } of this.#beside())
      await Atomics.waitAsync(this.#memory.running, at, number).value;
  }

  /** The syncs that run now, and where; each is looked for when the one before it has ended. */
  *#beside(): Generator<{ readonly at: number; readonly number: number }> {
    const { running, count } = this.#memory;
    const last = Atomics.load(count, 0);
    for (let at = 0; at < MOST_RUNNING; at++) {
      const number = Atomics.load(running, at);
      if (beganBy(number, last)) yield { at, number };
    }
  }

  #enter(): number {
    const { running, count } = this.#memory;
    // 0 comes again after 2^32 of them.
    const number = (Atomics.add(count, 0, 1) + 1) | 0 || 1;
    for (let at = 0; ; at = (at + 1) % MOST_RUNNING)
      if (Atomics.compareExchange(running, at, 0, number) === 0) return at;
  }

  #leave(at: number): void {
    Atomics.store(this.#memory.running, at, 0);
    Atomics.notify(this.#memory.running, at);
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

/** Whether there is a sync of that number, and it began no later than that of the number `last`. */
function beganBy(number: number, last: number): boolean {
  return number !== 0 && ((last - number) | 0) >= 0;
}
