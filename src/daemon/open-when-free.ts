import { retried, type Patience } from '../async/until.js';
import { ThinError } from '../errors/thin-error.js';

/** Another command that has the pool open is done soon; a daemon that starts or stops needs a moment more. */
const LOCK_PATIENCE: Patience = { limitMs: 10_000, pollMs: 100 };

/** A pool has one owner at a time; a short-lived one is waited for. Errors: locked, if it does not go. */
export function openWhenFree<T>(open: () => Promise<T>): Promise<T> {
  return retried(open, (error) => error instanceof ThinError && error.code === 'locked', LOCK_PATIENCE);
}
