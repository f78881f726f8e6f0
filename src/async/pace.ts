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
