import { nap } from './request-epochs.js';

const FREE = 0;
const HELD = 1;
/** About the time that a memory copy of a chunk takes. */
const SPINS = 200;

/** For moments: nothing that waits for a disk or another lock is done under one. */
export function lock(locks: Int32Array, at: number): void {
  for (let spins = 0; Atomics.compareExchange(locks, at, FREE, HELD) !== FREE; spins++) {
    // The holder may have lost its processor.
    if (spins > SPINS) nap();
  }
}

export function unlock(locks: Int32Array, at: number): void {
  Atomics.store(locks, at, FREE);
}
