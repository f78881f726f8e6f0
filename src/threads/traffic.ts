import { MAX_THREADS } from './request-epochs.js';

/** The slot of the pool thread; the others' are their numbers, from 0. */
export const POOL_SLOT = MAX_THREADS;
/** Words of a slot: two threads do not share a cache line. */
const STRIDE = 16;

export type TrafficKind = 'read' | 'write' | 'flush';

/** Words of a slot: requests, bytes, milliseconds of each kind; then HITS. */
const PLACES: Readonly<Record<TrafficKind, number>> = { read: 0, write: 3, flush: 6 };
const HITS = 9;

/** Since the counting began. A request is counted when it is answered. */
export interface TrafficTotals {
  readonly reads: number;
  readonly readBytes: number;
  /** How long reads took, from where a thread took them up, summed. Milliseconds, here and below. */
  readonly readTime: number;
  readonly writes: number;
  readonly writtenBytes: number;
  readonly writeTime: number;
  readonly flushes: number;
  readonly flushTime: number;
  /** Reads and writes that waited for no chunk to be read from the store. */
  readonly hits: number;
}

/**
 * Counts requests of all threads without a lock: each thread adds to its own slot, and a reader adds up the
 * slots. A total may be late by the requests that end while it is taken.
 */
export class Traffic {
  readonly memory: Float64Array;

  constructor(
    memory: Float64Array = new Float64Array(
      new SharedArrayBuffer((MAX_THREADS + 1) * STRIDE * Float64Array.BYTES_PER_ELEMENT),
    ),
  ) {
    this.memory = memory;
  }

  note(slot: number, kind: TrafficKind, bytes: number, milliseconds: number, isHit: boolean): void {
    const at = slot * STRIDE + PLACES[kind];
    this.memory[at]! += 1;
    this.memory[at + 1]! += bytes;
    this.memory[at + 2]! += milliseconds;
    if (isHit && kind !== 'flush') this.memory[slot * STRIDE + HITS]! += 1;
  }

  totals(): TrafficTotals {
    return {
      reads: this.#sum(PLACES.read),
      readBytes: this.#sum(PLACES.read + 1),
      readTime: this.#sum(PLACES.read + 2),
      writes: this.#sum(PLACES.write),
      writtenBytes: this.#sum(PLACES.write + 1),
      writeTime: this.#sum(PLACES.write + 2),
      flushes: this.#sum(PLACES.flush),
      flushTime: this.#sum(PLACES.flush + 2),
      hits: this.#sum(HITS),
    };
  }

  #sum(word: number): number {
    let sum = 0;
    for (let at = word; at < this.memory.length; at += STRIDE) sum += this.memory[at]!;
    return sum;
  }
}
