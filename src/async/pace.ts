/** Milliseconds of one's own work, before others have their turn. */
const SLICE = 5;

/**
 * Cuts work that grows with a pool into turns of the event loop, so that what others ask meanwhile waits for
 * milliseconds. One for each piece of work.
 */
export class Pace {
  #began = performance.now();

  /** To be awaited after each bounded step, where there is anything to await: `pace.pause() ?? undefined`. */
  pause(): Promise<void> | undefined {
    return performance.now() - this.#began < SLICE ? undefined : this.#turn();
  }

  async #turn(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#began = performance.now();
  }
}

/** What a generator returns, its steps done in such turns. @throws what it throws */
export async function inTurns<T>(steps: Iterator<undefined, T, undefined>): Promise<T> {
  const pace = new Pace();
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    const pause = pace.pause();
    if (pause !== undefined) await pause;
  }
}
