import { setTimeout as sleep } from 'node:timers/promises';

/** How long a caller goes on asking, and the pause between two questions. Milliseconds. */
export interface Patience {
  readonly limitMs: number;
  readonly pollMs: number;
  /** False: the process may end during a pause. Default: true. */
  readonly keepsProcess?: boolean;
}

/**
 * Asks at once, and then again and again until `holds` says true or the limit has passed.
 * @returns the last answer
 */
export async function until(
  holds: () => Promise<boolean> | boolean,
  { limitMs, pollMs, keepsProcess = true }: Patience,
): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() >= deadline) return false;
    await sleep(pollMs, undefined, { ref: keepsProcess });
  }
  return true;
}

/**
 * Tries at once, and then again and again as long as it fails in a way that passes. After the limit it fails
 * as the last try did.
 */
export async function retried<T>(
  work: () => Promise<T>,
  passes: (error: unknown) => Promise<boolean> | boolean,
  patience: Patience,
): Promise<T> {
  let tried: Promise<T>;
  const isOver = (): Promise<boolean> => {
    tried = work();
    return tried.then(
      () => true,
      async (error: unknown) => !(await passes(error)),
    );
  };
  await until(isOver, patience);
  return tried!;
}
