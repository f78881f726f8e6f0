/** Time that has passed for the world: also while the machine slept, and whatever was done to its clock. */
export class Stopwatch {
  #ticks = performance.now();
  #wall = Date.now();

  restart(): void {
    this.#ticks = performance.now();
    this.#wall = Date.now();
  }

  /** Milliseconds, at least. */
  get elapsed(): number {
    return Math.max(performance.now() - this.#ticks, Date.now() - this.#wall);
  }
}
