import { syncMemory, SyncUnderWay, type SyncMemory } from '../threads/sync-under-way.js';

const WRITTEN = 0;
const SYNCED = 1;
const COUNTS = 2;

export interface DataSyncMemory {
  /** WRITTEN: writes to the data file that have ended. SYNCED: how many of them are on its disk. */
  readonly counts: BigInt64Array;
  readonly underWay: SyncMemory;
}

/** What a process that is gone may have written is not synced. */
export function dataSyncMemory(): DataSyncMemory {
  const counts = new BigInt64Array(new SharedArrayBuffer(COUNTS * 8));
  counts[WRITTEN] = 1n;
  return { counts, underWay: syncMemory() };
}

/** How far the writes of all threads to the data file of a `direct` pool are on its disk. */
export class DataSyncs {
  readonly underWay: SyncUnderWay;
  readonly #counts: BigInt64Array;

  constructor(memory: DataSyncMemory) {
    this.#counts = memory.counts;
    this.underWay = new SyncUnderWay(memory.underWay);
  }

  /** A write has ended, whether or not it succeeded. */
  noteWritten(): void {
    Atomics.add(this.#counts, WRITTEN, 1n);
  }

  /** To be read before a sync, which covers as many writes. */
  get written(): number {
    return Number(Atomics.load(this.#counts, WRITTEN));
  }

  get synced(): number {
    return Number(Atomics.load(this.#counts, SYNCED));
  }

  noteSynced(writes: number): void {
    for (let now = Atomics.load(this.#counts, SYNCED); now < BigInt(writes);) {
      const before = Atomics.compareExchange(this.#counts, SYNCED, now, BigInt(writes));
      if (before === now) return;
      now = before;
    }
  }
}
