import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Gives back shared memory that this thread does not refer to any more, where no other thread does. V8 counts
 * it nowhere, so that without this it may stay for good. Takes as long as a collection of the thread's heap.
 */
export function collectGarbage(): void {
  // The flag is the process's: another thread may rely on it, so it stays.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext("typeof gc === 'function' ? gc : undefined") as (() => void) | undefined;
  collect?.();
}
