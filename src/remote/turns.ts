/**
 * At most so many pieces of work at once, and no more than `ownMost` of one owner; the urgent ones go first,
 * and owners take turns. Beyond that each owner may have one, so that owners whose work stands still do not
 * hold up the others.
 */
export class TurnTable {
  readonly #most: number;
  readonly #ownMost: number;
  readonly #waiting: { readonly owner: string; readonly isUrgent: boolean; readonly start: () => void }[] =
    [];
  readonly #running = new Map<string, number>();
  #count = 0;

  constructor({ most, ownMost }: { readonly most: number; readonly ownMost: number }) {
    this.#most = most;
    this.#ownMost = ownMost;
  }

  of(owner: string, isUrgent: boolean): Turns {
    return { run: (work) => this.#run(owner, isUrgent, work) };
  }

  async #run<T>(owner: string, isUrgent: boolean, work: () => Promise<T>): Promise<T> {
    await new Promise<void>((start) => {
      this.#waiting.push({ owner, isUrgent, start });
      this.#next();
    });
    try {
      return await work();
    } finally {
      this.#count--;
      this.#running.set(owner, this.#of(owner) - 1);
      this.#next();
    }
  }

  #next(): void {
    for (;;) {
      const ownMost = this.#count < this.#most ? this.#ownMost : 1;
      const ready = this.#waiting.filter(({ owner }) => this.#of(owner) < ownMost);
      const urgent = ready.filter(({ isUrgent }) => isUrgent);
      const chosen = least(urgent.length > 0 ? urgent : ready, ({ owner }) => this.#of(owner));
      if (chosen === undefined) return;
      this.#waiting.splice(this.#waiting.indexOf(chosen), 1);
      this.#count++;
      this.#running.set(chosen.owner, this.#of(chosen.owner) + 1);
      chosen.start();
    }
  }

  #of(owner: string): number {
    return this.#running.get(owner) ?? 0;
  }
}

/** One owner's part of it. */
export interface Turns {
  run<T>(work: () => Promise<T>): Promise<T>;
}

/** The first of those with the smallest value. */
function least<T>(items: readonly T[], valueOf: (item: T) => number): T | undefined {
  let found: T | undefined;
  for (const item of items) if (found === undefined || valueOf(item) < valueOf(found)) found = item;
  return found;
}
