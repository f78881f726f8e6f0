/** From here on writers are slowed down, 1 being where they have to wait for a commit. */
const CALM = 0.6;
/** Bytes a second that one thread takes in at `CALM`, and at 1. */
const FASTEST = 1e9;
const SLOWEST = 5e5;
/** Milliseconds. */
const LONGEST_PAUSE = 50;

/**
 * For how many milliseconds a thread that has written so much is to leave the pool alone. What it takes in
 * falls off exponentially as the log and the cache fill, so that a commit that takes long is many short waits
 * for writers and not one long one; where commits keep pace, no writer waits.
 * @param fullness of what is nearest to its limit; above 1 as 1
 */
export function pauseFor(bytes: number, fullness: number): number {
  if (fullness <= CALM) return 0;
  const share = (Math.min(1, fullness) - CALM) / (1 - CALM);
  const rate = FASTEST * (SLOWEST / FASTEST) ** share;
  return Math.min(LONGEST_PAUSE, (1000 * bytes) / rate);
}
