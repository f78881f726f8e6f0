import { sharedInts } from '../shared/dirty-map.js';

/** Words of a page, and so blocks that a page of mappings has, and pages that a page of a directory has. */
export const PAGE_WORDS = 1024;
export const PAGE_BYTES = 4 * PAGE_WORDS;
/** A number of a page is never one of these: see shared-table.ts. */
const FIRST_PAGE = 2;

/**
 * The memory of all page tables of a pool: pages of 4 KiB in one shared buffer, so that its bound is the
 * pool's and a page that a device lets go of is another's at once. Threads look at `memory` alone; the rest
 * is the pool thread's.
 */
export class TablePages {
  /** Untouched parts cost no memory. */
  readonly memory: Int32Array;
  readonly #end: number;
  #next = FIRST_PAGE;
  readonly #free: number[] = [];
  /**
   * Directories whose pages are free too, and are found when they are needed: a large table is let go of at
   * once.
   */
  readonly #dropped: number[] = [];

  /** @param pages that there can be at once */
  constructor(pages: number) {
    this.memory = sharedInts((pages + FIRST_PAGE) * PAGE_WORDS);
    this.#end = pages + FIRST_PAGE;
  }

  /** A page of which every word is `value`; undefined: all are in use. */
  take(value: number): number | undefined {
    const page = this.#free.pop() ?? this.#takeDropped() ?? this.#takeNew();
    if (page !== undefined) this.memory.fill(value, page * PAGE_WORDS, (page + 1) * PAGE_WORDS);
    return page;
  }

  /** Frees the page and those that it names. No thread looks at them any more. */
  freeDirectory(page: number): void {
    this.#dropped.push(page);
  }

  #takeDropped(): number | undefined {
    const directory = this.#dropped.pop();
    if (directory === undefined) return undefined;
    const start = directory * PAGE_WORDS;
    for (const word of this.memory.subarray(start, start + PAGE_WORDS))
      if (word >= FIRST_PAGE) this.#free.push(word);
    return directory;
  }

  #takeNew(): number | undefined {
    return this.#next < this.#end ? this.#next++ : undefined;
  }
}
