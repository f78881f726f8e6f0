import { setTimeout as sleep } from 'node:timers/promises';
import { ThinError, toThinError } from '../errors/thin-error.js';

/** How a try ended. `refused`: credentials that are fetched anew may help. */
export type Attempt<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'again' | 'refused'; readonly problem: string; readonly afterMs?: number | undefined };

export interface RetryLimits {
  /** Milliseconds from the first try on in which another is begun. */
  readonly forMs: number;
  /**
   * Milliseconds before the second try; each further wait is twice as long, up to `mostMs`, less up to half
   * at random.
   */
  readonly firstMs: number;
  readonly mostMs: number;
}

export const DEFAULT_RETRY: RetryLimits = { forMs: 60_000, firstMs: 200, mostMs: 10_000 };

/**
 * Tries until it is done or time is up.
 * @param what the sentence's subject in messages: `s3://bucket/images`
 * @param refresh fetches credentials anew; called once
 * Errors: io, permission, closed (the signal), and what a try throws.
 */
export async function retrying<T>(
  what: string,
  attempt: () => Promise<Attempt<T>>,
  {
    limits,
    refresh,
    signal,
  }: {
    readonly limits: RetryLimits;
    readonly refresh?: (() => Promise<void>) | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<T> {
  const end = performance.now() + limits.forMs;
  let isRefreshed = refresh === undefined;
  for (let wait = limits.firstMs; ; wait = Math.min(limits.mostMs, wait * 2)) {
    requireGoing(signal);
    const outcome = await attempt();
    if (outcome.kind === 'done') return outcome.value;
    if (outcome.kind === 'refused') {
      if (isRefreshed) throw new ThinError('permission', `${what} refuses access: ${outcome.problem}`);
      isRefreshed = true;
      await refresh?.();
      continue;
    }
    const pause = Math.max(outcome.afterMs ?? 0, wait * (1 - Math.random() / 2));
    if (performance.now() + pause > end)
      throw new ThinError(
        'io',
        `${what} does not answer as it should (${outcome.problem}); see whether it is reachable, then try again`,
      );
    await sleep(pause, undefined, signal === undefined ? {} : { signal }).catch(() => {
      requireGoing(signal);
    });
  }
}

function requireGoing(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw toThinError(signal.reason);
}
