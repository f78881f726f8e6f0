import { setMaxListeners } from 'node:events';
import { ThinError } from '../errors/thin-error.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs work that leaves something half made if it is cut off: the first signal aborts it, so that it can
 * clean up behind itself. Rejects with `closed` then.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  // Each request that is on its way listens.
  setMaxListeners(0, controller.signal);
  const abort = (signal: NodeJS.Signals): void =>
    controller.abort(
      new ThinError('closed', `interrupted by ${signal}; thinfuse has undone what it had begun`),
    );
  for (const signal of SIGNALS) process.on(signal, abort);
  try {
    return await work(controller.signal);
  } finally {
    for (const signal of SIGNALS) process.off(signal, abort);
  }
}
