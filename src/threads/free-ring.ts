import assert from 'node:assert/strict';
import { threadInts } from './dirty-map.js';

/** What another thread needs to take entries from the same ring. */
export interface FreeRingMemory {
  readonly entries: Int32Array;
  /** Position of the next entry to take; positions count on for ever, modulo 2^32. */
  readonly ends: Int32Array;
}

const HEAD = 0;
const TAIL = 1;

/**
 * Free things in shared memory (chunks, frames): any thread takes one, and only the pool thread puts some in.
 * Entries are 0 .. 2^31 - 1.
 */
export class FreeRing {
  readonly memory: FreeRingMemory;
  readonly #entries: Int32Array;
  readonly #ends: Int32Array;
  /** Taken by this thread and not used after all: the next one to be taken. */
  readonly #kept: number[] = [];

  constructor(memory: FreeRingMemory) {
    this.memory = memory;
    this.#entries = memory.entries;
    this.#ends = memory.ends;
  }

  /** @param capacity entries it holds; a power of two */
  static create(capacity: number): FreeRing {
    assert((capacity & (capacity - 1)) === 0, 'a ring has a power of two of places');
    return new FreeRing({ entries: threadInts(capacity), ends: threadInts(2) });
  }

  get capacity(): number {
    return this.#entries.length;
  }

  /** Entries that can be taken. */
  get count(): number {
    return ((Atomics.load(this.#ends, TAIL) - Atomics.load(this.#ends, HEAD)) | 0) + this.#kept.length;
  }

  /** An entry, or undefined. */
  take(): number | undefined {
    return this.#kept.pop() ?? this.#takeFromRing(undefined);
  }

  /** The next entry if it is this one: what makes neighbours of neighbours. */
  takeExactly(entry: number): boolean {
    return this.#takeFromRing(entry) !== undefined;
  }

  /** An entry that this thread took and did not use. */
  keep(entry: number): void {
    this.#kept.push(entry);
  }

  /** Only the thread that owns the ring. False where it is full. */
  put(entry: number): boolean {
    const tail = Atomics.load(this.#ends, TAIL);
    if (((tail - Atomics.load(this.#ends, HEAD)) | 0) >= this.#entries.length) return false;
    this.#entries[tail & (this.#entries.length - 1)] = entry;
    Atomics.store(this.#ends, TAIL, (tail + 1) | 0);
    return true;
  }

  #takeFromRing(wanted: number | undefined): number | undefined {
    for (;;) {
      const head = Atomics.load(this.#ends, HEAD);
      if (head === Atomics.load(this.#ends, TAIL)) return undefined;
      // Read before it is claimed: once the head has moved on, the owner may put another entry in its place.
      const entry = Atomics.load(this.#entries, head & (this.#entries.length - 1));
      if (wanted !== undefined && entry !== wanted) return undefined;
      if (Atomics.compareExchange(this.#ends, HEAD, head, (head + 1) | 0) === head) return entry;
    }
  }
}
