import { setTimeout as sleep } from 'node:timers/promises';
import { ThinError } from '../errors/thin-error.js';

/** Another command that has the pool open is done soon; a daemon that starts or stops needs a moment more. */
const LOCK_PATIENCE_MS = 10_000;
const LOCK_POLL_MS = 100;

/** A pool has one owner at a time; a short-lived one is waited for. Errors: locked, if it does not go. */
export async function openWhenFree<T>(open: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + LOCK_PATIENCE_MS;
  for (;;)
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof ThinError) || error.code !== 'locked' || performance.now() > deadline)
        throw error;
      await sleep(LOCK_POLL_MS);
    }
}
