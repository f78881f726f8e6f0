/** Numbers that one page counts. */
const PAGE = 512;

/**
 * How often each number was met: in pages where there are any, so that it has no bound of its own (a `Map`
 * ends at 16.7 million) and takes four bytes a number.
 */
export class PagedCounts {
  readonly #pages = new Map<number, Uint32Array>();
  #size = 0;

  /** Numbers that were met. */
  get size(): number {
    return this.#size;
  }

  /** @returns how often it had been met before */
  add(number: number): number {
    const at = Math.floor(number / PAGE);
    let page = this.#pages.get(at);
    if (page === undefined) this.#pages.set(at, (page = new Uint32Array(PAGE)));
    const before = page[number % PAGE]!;
    page[number % PAGE] = before + 1;
    if (before === 0) this.#size++;
    return before;
  }

  get(number: number): number {
    return this.#pages.get(Math.floor(number / PAGE))?.[number % PAGE] ?? 0;
  }

  has(number: number): boolean {
    return this.get(number) > 0;
  }

  /** Ascending. */
  *keys(): Generator<number> {
    for (const at of [...this.#pages.keys()].sort((x, y) => x - y)) {
      const page = this.#pages.get(at)!;
      for (let index = 0; index < PAGE; index++) if (page[index] !== 0) yield at * PAGE + index;
    }
  }
}
