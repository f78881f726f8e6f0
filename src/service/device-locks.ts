import AsyncLock from 'async-lock';
import type { DeviceName } from '../format/ids.js';

/**
 * Work on one device runs in the order it was asked for; work on different devices runs side by side. Not
 * reentrant.
 */
export class DeviceLocks {
  readonly #lock = new AsyncLock({ maxPending: Number.MAX_SAFE_INTEGER });

  async run<T>(names: readonly DeviceName[], work: () => Promise<T>): Promise<T> {
    // Sorted, so that two callers that want the same two devices cannot wait for each other.
    return this.#lock.acquire([...new Set<string>(names)].sort(), work);
  }
}
