import { workerData } from 'node:worker_threads';
import { FreeRing, type FreeRingMemory } from '../../src/threads/free-ring.js';

/**
 * Entry of a thread: takes what there is, counts it in `seen`, and ends when `done` is set and nothing is
 * left.
 */
const { memory, seen, done } = workerData as { memory: FreeRingMemory; seen: Int32Array; done: Int32Array };
const ring = new FreeRing(memory);
for (let finished = false; !finished;) {
  finished = Atomics.load(done, 0) !== 0;
  for (let entry = ring.take(); entry !== undefined; entry = ring.take()) Atomics.add(seen, entry, 1);
}
