import { ThinError } from '../errors/thin-error.js';
import { collectGarbage } from '../threads/collect-garbage.js';
import { defaultChunkCache } from './limits.js';
import type { PoolState } from './pool-state.js';

/**
 * The cache of a `leveldb` pool gets another size while devices are in use: requests see a pause of as long
 * as it takes to copy what stays in memory.
 * @param bytes 0: by the machine's memory
 * @throws ThinError invalid-argument (there is not so much memory), with nothing changed
 */
export function resizeCache({ plane, active }: PoolState, bytes: number): void {
  const devices = [...active.values()];
  for (const io of devices) io.retire();
  try {
    // Requests in the cache wait for nothing, so this is over in microseconds.
    plane.epochs.waitQuiet();
    plane.resizeCache(bytes === 0 ? defaultChunkCache() : bytes);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ThinError(
      'invalid-argument',
      `cache_size: the machine has no ${bytes} bytes of memory to give; choose a smaller one`,
      { cause },
    );
  } finally {
    for (const io of devices) io.renew();
  }
  collectGarbage();
}
