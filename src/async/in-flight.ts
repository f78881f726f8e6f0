interface Waiter {
  readonly besides: number;
  readonly wake: () => void;
}

/** Counts requests that have no answer yet, so that their server can wait for them before it ends. */
export class InFlight {
  #count = 0;
  readonly #waiting = new Set<Waiter>();

  get count(): number {
    return this.#count;
  }

  enter(): void {
    this.#count += 1;
  }

  leave(): void {
    this.#count -= 1;
    for (const waiter of this.#waiting) {
      if (this.#count > waiter.besides) continue;
      this.#waiting.delete(waiter);
      waiter.wake();
    }
  }

  /** Resolves when no more than `besides` are in flight: those that wait for this themselves. */
  async idle(besides = 0): Promise<void> {
    if (this.#count <= besides) return;
    await new Promise<void>((wake) => this.#waiting.add({ besides, wake }));
  }
}
