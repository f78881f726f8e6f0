import { threadInts } from './dirty-map.js';

/** Threads that can serve one pool at once, the pool thread not counted. */
export const MAX_THREADS = 16;
/** Counters of two threads do not share a cache line. */
const STRIDE = 16;
/** Milliseconds for which the pool thread waits at a time without turning its event loop. */
const NAP = 0.05;

/**
 * Which threads are inside a request (epoch-based reclamation). A thread counts up when it enters a request
 * and again when it leaves it, so an odd count is a request in flight. If memory was unreachable before
 * `quiet` was called, no thread uses it when `quiet` resolves.
 */
export class RequestEpochs {
  readonly memory: Int32Array;

  constructor(memory: Int32Array = threadInts(MAX_THREADS * STRIDE)) {
    this.memory = memory;
  }

  enter(thread: number): void {
    Atomics.add(this.memory, thread * STRIDE, 1);
  }

  leave(thread: number): void {
    Atomics.add(this.memory, thread * STRIDE, 1);
  }

  /** Resolves when every request that was in flight at the call has ended. */
  async quiet(): Promise<void> {
    const pending = this.#inFlight();
    for (let turn = 0; this.#remain(pending); turn++)
      await new Promise<void>((resolve) => {
        // Most requests end within microseconds; one that waits for a disk takes longer.
        if (turn < 50) setImmediate(resolve);
        else setTimeout(resolve, 1);
      });
  }

  /** The same at once, for requests that wait for nothing. */
  waitQuiet(): void {
    const pending = this.#inFlight();
    while (this.#remain(pending)) nap();
  }

  #inFlight(): Map<number, number> {
    const pending = new Map<number, number>();
    for (let at = 0; at < this.memory.length; at += STRIDE) {
      const count = Atomics.load(this.memory, at);
      if ((count & 1) !== 0) pending.set(at, count);
    }
    return pending;
  }

  #remain(pending: Map<number, number>): boolean {
    for (const [at, count] of pending) if (Atomics.load(this.memory, at) !== count) pending.delete(at);
    return pending.size > 0;
  }
}

const NEVER = threadInts(1);

/** Sleeps this thread for a moment. */
export function nap(milliseconds = NAP): void {
  Atomics.wait(NEVER, 0, 0, milliseconds);
}
