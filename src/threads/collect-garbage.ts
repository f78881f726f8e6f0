import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Gives back shared memory that this thread does not refer to any more, where no other thread does. V8 counts
 * it nowhere, so that without this it may stay for good. Takes as long as a collection of the thread's heap.
 */
export function collectGarbage(): void {
  exposed()?.();
}

type Collect = (options?: { readonly type: 'minor' }) => void;

function exposed(): Collect | undefined {
  // The flag is the process's: another thread may rely on it, so it stays.
  setFlagsFromString('--expose-gc');
  return runInNewContext("typeof gc === 'function' ? gc : undefined") as Collect | undefined;
}

/** Bytes. */
const LITTER = 8 * 2 ** 20;

/**
 * Large buffers that a thread uses once and leaves behind. V8 lets 64 MiB and more of them lie, as it counts
 * the small objects in front of them; here a young collection follows every 8 MiB. It takes a millisecond.
 */
export class Litter {
  #bytes = 0;
  #collect: Collect | undefined;

  /** So many bytes are not referred to from now on, or soon. */
  leave(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < LITTER) return;
    this.#bytes = 0;
    this.#collect ??= exposed();
    this.#collect?.({ type: 'minor' });
  }
}
