/** Numbers that one sheet counts. */
const SHEET = 512;

/**
 * How often each number was met: in sheets where there are any, so that it has no bound of its own (a `Map`
 * ends at 16.7 million) and takes four bytes a number.
 */
export class SparseCounts {
  readonly #sheets = new Map<number, Uint32Array>();
  #size = 0;

  /** Numbers that were met. */
  get size(): number {
    return this.#size;
  }

  /** @returns how often it had been met before */
  add(number: number): number {
    const at = Math.floor(number / SHEET);
    let sheet = this.#sheets.get(at);
    if (sheet === undefined) this.#sheets.set(at, (sheet = new Uint32Array(SHEET)));
    const before = sheet[number % SHEET]!;
    sheet[number % SHEET] = before + 1;
    if (before === 0) this.#size++;
    return before;
  }

  get(number: number): number {
    return this.#sheets.get(Math.floor(number / SHEET))?.[number % SHEET] ?? 0;
  }

  has(number: number): boolean {
    return this.get(number) > 0;
  }

  /** Ascending. */
  *keys(): Generator<number> {
    for (const at of [...this.#sheets.keys()].sort((x, y) => x - y)) {
      const sheet = this.#sheets.get(at)!;
      for (let index = 0; index < SHEET; index++) if (sheet[index] !== 0) yield at * SHEET + index;
    }
  }
}
